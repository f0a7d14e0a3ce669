"""Entry points of `torch.hub.load(<this folder>, "arm_hubert", source="local")`."""

dependencies = ["torch", "safetensors", "huggingface_hub", "yaml"]

from upstream_arm.hub import *  # noqa: E402, F403
