"""STaRHuBERT and STaRWavLM (arXiv 2312.09040): HuBERT's shape, narrow, with the front end of ARMHuBERT.

Facts from github.com/sungnyun/ARMHuBERT (Apache-2.0), `models/starhubert`. A file is Lightning's, with the
training yaml inside or beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from upstream_arm import families
from upstream_arm.checkpoint import student_weights
from upstream_arm.config_yaml import HUBERT, SIZES, TRAINING, Dialect, read_block
from upstream_arm.peers.family import Family, PeerFile, training_config
from upstream_arm.peers.model import Peer, PeerConfig

_ENTRY = "starhubert_local"
_DIALECT = Dialect("a STaRHuBERT student", HUBERT, SIZES, TRAINING)
_TRAINING_HEAD = "final_proj."


def from_authors(block: Mapping[str, Any]) -> PeerConfig:
    """Read the `distiller` block of a training yaml; UpstreamError as of `read_block`."""
    families.refuse_other_yaml(block, _ENTRY)
    return plain_config(read_block(block, _DIALECT), block["encoder_layers"])


def plain_config(values: Mapping[str, Any], layers: int, projection_dim: int | None = None) -> PeerConfig:
    """The shape by these fields of a block; every layer computes its own attention map."""
    own = {key: value for key, value in values.items() if key != "layer_grad_scale"}  # of gradients alone
    return PeerConfig(reuse_pattern=(True,) * layers, projection_dim=projection_dim, **own)


def _config(file: PeerFile) -> PeerConfig:
    return training_config(file, from_authors)


def _weights(file: PeerFile, _: PeerConfig) -> dict[str, Tensor]:
    weights = student_weights(file.content.get("state_dict", file.content), file.path)
    return {key: weight for key, weight in weights.items() if not key.startswith(_TRAINING_HEAD)}


STARHUBERT = Family("STaRHuBERT", _config, Peer, _weights)
