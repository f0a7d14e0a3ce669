"""LightHuBERT (arXiv 2203.15610): a student that is cut out of its file's supernet.

Facts from s3prl 0.4.18, `upstream/lighthubert` (its files say MIT). A file is {"cfg": {"model": ...},
"model"}, whatever the size of the student: 12 layers of width 768.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from upstream_arm.checkpoint import misfit, shapes, student_weights
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
    "_name": ("hubert_pruner", ""),
    "extractor_mode": ("default", "layer_norm"),
    "encoder_layers": (12, 12),
    "encoder_embed_dim": (768, 768),
    "encoder_ffn_embed_dim": (3072, 3072),
    "encoder_attention_heads": (12, 12),
    "activation_fn": ("gelu", "gelu"),
    "layer_norm_first": (False, False),
    "conv_bias": (False, False),
    "pos_conv_depth": (1, 1),
    "conv_pos": (128, 128),
    "conv_pos_groups": (16, 16),
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
        projects=True,
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
    """A supernet's, cut to the student's shapes; UpstreamError if they are not a supernet's."""
    held = file.content["model"].items()
    whole = {key: weight for key, weight in held if str(key).startswith(_KEPT) and isinstance(weight, Tensor)}
    with torch.device("meta"):
        supernet = LightStudent(dataclasses.replace(config, embed_dim=768, ffn_dim=3072, heads=12))
        cut = LightStudent(config).state_dict()
    if told := misfit(shapes(whole), shapes(supernet.state_dict())):
        raise UpstreamError(
            f"the weights of {file.path} do not fit LightHuBERT's supernet: {told}; use the authors' "
            "file as it is"
        )
    # The whole convolution is normalised before it is cut.
    taps = torch._weight_norm(whole[_TAPS + "_v"].float(), whole[_TAPS + "_g"].float(), 2)
    whole[_TAPS + "_v"] = taps[tuple(map(slice, cut[_TAPS + "_v"].shape))]
    whole[_TAPS + "_g"] = whole[_TAPS + "_v"].norm(dim=(0, 1), keepdim=True)
    return student_weights(
        {key: _cut(key, weight, cut[key].shape) for key, weight in whole.items()}, file.path
    )


def _cut(key: str, weight: Tensor, shape: torch.Size) -> Tensor:
    """The first rows and columns; of a feed-forward network's inner ones, the first of each block."""
    inner = 0 if ".fc1." in key else 1 if key.endswith(".fc2.weight") else None
    if inner is not None:
        size = shape[inner] // _BLOCKS
        weight = torch.cat([block.narrow(inner, 0, size) for block in weight.chunk(_BLOCKS, inner)], inner)
    return weight[tuple(map(slice, shape))]


LIGHTHUBERT_SMALL = Family("LightHuBERT small", _config_of(384), LightStudent, _weights)
LIGHTHUBERT_BASE = Family("LightHuBERT base", _config_of(640), LightStudent, _weights)
