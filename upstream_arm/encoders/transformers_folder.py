"""Speech encoders from folders of transformers' save_pretrained; what cannot be trusted is refused."""

from __future__ import annotations

import importlib
import json
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from upstream_arm.common.errors import UpstreamError
from upstream_arm.encoders.transformers_families import FAMILIES, Family, convolutions
from upstream_arm.student import SAMPLE_RATE
from upstream_arm.torch_files import read_torch

UNUSED = {"masked_spec_embed", "prenet.masked_spec_embed"}
"""Weights that only pretraining uses: checkpoints may lack them, and then they are 0."""


@dataclass(frozen=True)
class Loaded:
    """An encoder in evaluation mode and fp32, its feature extractor, its family.

    dtype: of the weights on disk.
    """

    model: Any
    extractor: Any
    family: Family
    dtype: str


def load(folder: Path, trust_remote_code: bool = False) -> Loaded:
    """The encoder of a folder; UpstreamError if there is none, or what there is could not be trusted."""
    config_file = _read(folder, "config.json")
    if not trust_remote_code:
        _refuse_code(folder)
    family = _family(folder, config_file)
    for file in sorted(folder.glob("pytorch_model*.bin")):
        read_torch(file)  # names what it would run, and runs nothing
    with told(folder):
        model, info = _build(folder, family, trust_remote_code)
    _check_weights(folder, model, info)
    _end_with_the_layers(model)
    return Loaded(model, _extractor(folder, trust_remote_code), family, _dtype(folder, config_file))


def _family(folder: Path, config_file: dict[str, Any]) -> Family:
    names = config_file.get("architectures") or [config_file.get("model_type", "no architecture")]
    if "auto_map" in config_file:
        if "conv_kernel" not in config_file or "conv_stride" not in config_file:
            raise UpstreamError(
                f"{folder} holds {names[0]}, whose config.json has no conv_kernel and conv_stride, expected "
                "them beside code of the folder's own: they tell how many samples a frame stands for"
            )
        return Family(convolutions)
    family = FAMILIES.get(config_file.get("model_type", ""))
    if family is None:
        raise UpstreamError(
            f"{folder} holds {names[0]}, which is not known here as a speech encoder with hidden states of "
            f"one width and frame rate, expected one of {', '.join(sorted(FAMILIES))}: use such a model"
        )
    return family


def transformers() -> Any:
    """The package, quiet; UpstreamError where it is not installed."""
    try:
        import transformers
    except ImportError:
        raise UpstreamError(
            "transformers is not installed, and the upstream is one of its models; "
            "run `pip install 'superb-arm[hf]'`"
        ) from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _build(folder: Path, family: Family, trust_remote_code: bool) -> tuple[Any, dict[str, Any]]:
    options: dict[str, Any] = {
        "dtype": torch.float32,
        "local_files_only": True,
        "output_loading_info": True,
    }
    if family.encoder is None:
        kind = transformers().AutoModel
        options["trust_remote_code"] = trust_remote_code
    else:
        config = transformers().AutoConfig.from_pretrained(folder, local_files_only=True)
        options["config"] = getattr(config, family.part) if family.part else config
        options["key_mapping"] = {family.prefix: ""}
        module, _, name = family.encoder.rpartition(".")
        kind = getattr(importlib.import_module(f"transformers.models.{module}"), name)
    model, info = kind.from_pretrained(folder, **options)
    return model.eval(), info


def _end_with_the_layers(model: Any) -> None:
    """Take away what comes after the layers and their norm, such as an adapter to another frame rate."""
    if getattr(model, "adapter", None) is not None:
        model.adapter = None
    if getattr(model, "intermediate_ffn", None) is not None:
        model.intermediate_ffn = _Nothing()
    if hasattr(model, "inner_layer_norm"):  # SeamlessM4T's, of its adapter's output
        model.inner_layer_norm = nn.Identity()


class _Nothing(nn.Module):
    """Adds nothing."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Zeros of the shape of the input."""
        return torch.zeros_like(states)


def _extractor(folder: Path, trust_remote_code: bool) -> Any:
    auto = transformers().AutoFeatureExtractor
    try:
        extractor = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
    except Exception as error:  # as above
        raise UpstreamError(
            f"{folder} has no preprocessor_config.json that transformers can read ({_reason(error)}), which "
            "says whether waveforms are normalised: copy it there from the model on the hub, or save the "
            "model's feature extractor in the folder"
        ) from None
    rate = getattr(extractor, "sampling_rate", SAMPLE_RATE)
    if rate != SAMPLE_RATE:
        raise UpstreamError(
            f"{folder} holds an encoder of audio at {rate} Hz (preprocessor_config.json), expected "
            f"{SAMPLE_RATE} Hz, which the tasks' audio has: use a model of that rate"
        )
    return extractor


def _read(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UpstreamError(
            f"{folder} has no {name} that can be read ({_reason(error)}), expected a folder of transformers' "
            "save_pretrained"
        ) from None
    if not isinstance(content, dict):
        raise UpstreamError(f"{folder / name} holds a {type(content).__name__}, expected a JSON object")
    return content


def _refuse_code(folder: Path) -> None:
    for name in ("config.json", "preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file() and "auto_map" in json.dumps(_read(folder, name)):
            raise UpstreamError(
                f"{folder} asks to run Python code of its own (auto_map in {name}), which is refused: read "
                "that code, and if you trust it, allow it with --trust-remote-code"
            )


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """What transformers raises, in one sentence."""
    try:
        yield
    except (UpstreamError, MemoryError):
        raise
    except Exception as error:  # whatever the files hold comes out of several libraries
        raise UpstreamError(
            f"{folder} holds no encoder that transformers can load and run ({_reason(error)}): check that it "
            "is whole and that its configurations and weights belong together"
        ) from None


def _reason(error: Exception) -> str:
    return textwrap.shorten(str(error), 200, placeholder=" ...") or type(error).__name__


def _check_weights(folder: Path, model: nn.Module, info: dict[str, Any]) -> None:
    """Refuse an encoder with weights that are random or not finite, or with fewer layers than the file."""
    for name in UNUSED.intersection(info["missing_keys"]):
        nn.init.zeros_(model.get_parameter(name))  # that the weights have one hash
    missing = sorted(set(info["missing_keys"]) - UNUSED)
    if missing:
        raise UpstreamError(
            f"{folder} lacks {len(missing)} weights of a {type(model).__name__} ({missing[0]} is the first), "
            "which would be random: give a whole checkpoint"
        )
    for key in info["unexpected_keys"]:
        stack, _, rest = key.removeprefix(f"{model.base_model_prefix}.").partition("layers.")
        layers = dict(model.named_modules()).get(f"{stack}layers")
        number = rest.partition(".")[0]
        if isinstance(layers, nn.ModuleList) and number.isdecimal() and int(number) >= len(layers):
            raise UpstreamError(
                f"{folder} has weights of more layers than the {len(layers)} of its config.json ({key} is "
                "one), expected as many: correct config.json"
            )
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise UpstreamError(
                f"{folder} has NaN or infinite weights ({name} is the first), expected finite ones: "
                "give a checkpoint of a training that did not diverge"
            )


def _dtype(folder: Path, config_file: dict[str, Any]) -> str:
    """The type of the weights on disk, as torch calls it."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - no mapping
                tensor = weights.get_tensor(name)
                if tensor.is_floating_point():
                    return str(tensor.dtype).removeprefix("torch.")
    return str(config_file.get("dtype") or config_file.get("torch_dtype") or "float32")
