"""LightHuBERT (arXiv 2203.15610): a student that is cut out of its file's supernet.

Facts from s3prl 0.4.18, `upstream/lighthubert` (its files say MIT). A file is {"cfg": {"model": ...},
"model"}, whatever the size of the student: 12 layers of width 768.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from upstream_arm.checkpoint import student_weights
from upstream_arm.common.errors import UpstreamError, about
from upstream_arm.common.words import shown
from upstream_arm.config import read_conv_layers
from upstream_arm.peers.family import Family, PeerFile
from upstream_arm.peers.model import Peer, PeerConfig

#: Blocks of a feed-forward network, each as wide as the model, of each of which a student has the beginning.
_BLOCKS = 4
_HEAD_DIM = 64
#: What the supernet must be; the defaults of the authors' code where the file does not say.
_SUPERNET = {
    "extractor_mode": ("default", "layer_norm"),
    "encoder_layers": (12, 12),
    "encoder_embed_dim": (768, 768),
    "encoder_ffn_embed_dim": (3072, 3072),
    "encoder_attention_heads": (12, 12),
    "activation_fn": ("gelu", "gelu"),
    "layer_norm_first": (False, False),
    "conv_bias": (False, False),
    "pos_conv_depth": (1, 1),
}
_CONVOLUTIONS = "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2"
#: Beginnings of the weights that a student is cut from; the others served distillation.
_TAPS = "encoder.pos_conv.0.weight"
_KEPT = ("feature_extractor.", "layer_norm.", "post_extract_proj.", "encoder.")


class LightStudent(Peer):
    """HuBERT's forward pass."""

    def counted(self, counts: list[int], lengths: Sequence[int], samples: int) -> list[int]:
        """By blocks of the padded waveform, as many as frames: one frame too many of shorter utterances."""
        total = max(counts)
        block = samples // total
        return [min(total, -(-length // block)) for length in lengths]


def subnet(width: int, conv_layers: str = _CONVOLUTIONS) -> PeerConfig:
    """The shape of the student of that width."""
    return PeerConfig(
        conv_layers=read_conv_layers(conv_layers, "conv_feature_layers"),
        embed_dim=width,
        ffn_dim=_BLOCKS * width,
        heads=width // _HEAD_DIM,
        reuse_pattern=(True,) * 12,
        projection_dim=None,
        activation_dropout=0.0,
        dropout_input=0.0,
        normalises=True,
        cnn_state=True,
    )


def _config_of(width: int) -> Callable[[PeerFile], PeerConfig]:
    def config(file: PeerFile) -> PeerConfig:
        given = file.content["cfg"]["model"]
        for key, (expected, default) in _SUPERNET.items():
            if (value := given.get(key, default)) != expected:
                raise UpstreamError(
                    f"{file.path} is a supernet with {key} {shown(value)}, expected {expected!r}; use a file "
                    "of LightHuBERT small or base"
                )
        with about(file.path):
            return subnet(width, given.get("conv_feature_layers", _CONVOLUTIONS))

    return config


def _weights(file: PeerFile, config: PeerConfig) -> dict[str, Tensor]:
    """Cut to the student's shapes; a weight that is too small for them stays as it is."""
    whole = {key: weight for key, weight in file.content["model"].items() if str(key).startswith(_KEPT)}
    if isinstance(directions := whole.get(_TAPS + "_v"), Tensor) and _TAPS + "_g" in whole:
        # The whole convolution is normalised before it is cut.
        taps = torch._weight_norm(directions.float(), whole[_TAPS + "_g"].float(), 2)
        width = config.embed_dim
        whole[_TAPS + "_v"] = taps[:width, : width // config.conv_pos_groups]
        whole[_TAPS + "_g"] = whole[_TAPS + "_v"].norm(dim=(0, 1), keepdim=True)
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in LightStudent(config).state_dict().items()}
    cut = {key: _cut(key, weight, shapes[key]) for key, weight in whole.items() if key in shapes}
    return student_weights({**whole, **cut}, file.path)


def _cut(key: str, weight: Tensor, shape: torch.Size) -> Tensor:
    """The first rows and columns; of a feed-forward network's inner ones, the first of each block."""
    inner = 0 if ".fc1." in key else 1 if key.endswith(".fc2.weight") else None
    if inner is not None and weight.dim() == len(shape):
        size = shape[inner] // _BLOCKS
        weight = torch.cat([block.narrow(inner, 0, size) for block in weight.chunk(_BLOCKS, inner)], inner)
    return weight[tuple(slice(size) for size in shape)]


LIGHTHUBERT_SMALL = Family("LightHuBERT small", _config_of(384), LightStudent, _weights)
LIGHTHUBERT_BASE = Family("LightHuBERT base", _config_of(640), LightStudent, _weights)
