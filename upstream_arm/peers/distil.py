"""DistilHuBERT (arXiv 2110.01900) in s3prl's form: two layers, and a head that predicts its teacher's.

Facts from s3prl 0.4.18 (Apache-2.0), `upstream/distiller`. A file is {"Optimizer", "Step", "Args", "Config",
"Distiller"}. Its published rows took the second layer alone, which s3prl calls `paper`.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from upstream_arm.checkpoint import student_weights
from upstream_arm.common.errors import about
from upstream_arm.config import check_count
from upstream_arm.config_yaml import RENAMED, SIZES, Dialect, read_block
from upstream_arm.peers.family import Family, PeerFile
from upstream_arm.peers.model import Peer, PeerConfig

_FIXED = {
    "extractor_mode": "default",
    "activation_fn": "gelu",
    "layer_norm_first": False,
    "attention_type": "original",
    "task_emb_type": "expand-last",
    "out_layer_type": "expand-last",
    "out_layer_inter_dim": -1,
}
_DIALECT = Dialect("DistilHuBERT", _FIXED, (*SIZES, "n_tasks", "final_dim"), ())


@dataclasses.dataclass(frozen=True)
class DistilConfig(PeerConfig):
    """Shape of a DistilHuBERT; `projection_dim` is the width of its predictions."""

    tasks: int = 3  # layers of the teacher that it predicts
    front_norm: bool = False
    cnn_state: bool = True

    def __post_init__(self) -> None:
        """UpstreamError for values that no such student can have."""
        super().__post_init__()
        for name in ("tasks", "projection_dim"):
            check_count(self, name)


class SplitLinear(nn.Module):
    """A linear map for each task, of its own part of what comes in."""

    def __init__(self, width: int, tasks: int, target: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(tasks, width, target))
        self.bias = nn.Parameter(torch.empty(1, 1, tasks, target))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, frame, task * width] to [batch, frame, task, target]."""
        parts = x.unflatten(2, (self.weight.shape[0], -1))
        return torch.einsum("bftw,two->bfto", parts, self.weight) + self.bias


class DistilStudent(Peer):
    """States: the front end's, the layers', and for each task the prediction from the last layer."""

    def __init__(self, config: DistilConfig) -> None:
        super().__init__(config)
        width, target = config.embed_dim, config.projection_dim
        assert target is not None, "_config gives it"
        self.output_layer = nn.Sequential(
            nn.Linear(width, width * config.tasks), nn.GELU(), SplitLinear(width, config.tasks, target)
        )

    def encode(self, x: Tensor, valid: Tensor | None, counts: list[int]) -> tuple[list[Tensor], list[int]]:
        """As of `Peer`, and the predictions."""
        states, counts = super().encode(x, valid, counts)
        return [*states, *self.output_layer(states[-1]).unbind(2)], counts


def _config(file: PeerFile) -> DistilConfig:
    block = dict(file.content["Config"]["distiller"])
    if "extractor_conv_feature_layers" in block:
        block["conv_feature_layers"] = block["extractor_conv_feature_layers"]
    read = {*RENAMED, *_DIALECT.fixed, *_DIALECT.needed}  # s3prl's reader takes others for training only
    with about(file.path):
        values = read_block({key: value for key, value in block.items() if key in read}, _DIALECT)
        return DistilConfig(
            reuse_pattern=(True,) * block["encoder_layers"],
            projection_dim=block["final_dim"],
            dropout_input=0.0,
            tasks=block["n_tasks"],
            **values,
        )


def _weights(file: PeerFile, _: DistilConfig) -> dict[str, Tensor]:
    return student_weights(file.content["Distiller"], file.path)


DISTILHUBERT = Family("DistilHuBERT", _config, DistilStudent, _weights, published_states=("hidden_states", 2))
