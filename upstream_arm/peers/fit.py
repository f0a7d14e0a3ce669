"""FitHuBERT and FitW2V2 (arXiv 2207.00555): layers at half the frame rate, projected at the full one.

Facts from github.com/glory20h/FitHuBERT (Apache-2.0). A file is Lightning's, with the training yaml inside or
beside it. Exported is what the published rows were made from, the last layer's projection; the authors' own
`hidden_states` are tuples that s3prl cannot sum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from upstream_arm import families
from upstream_arm.checkpoint import student_weights
from upstream_arm.common.errors import UpstreamError
from upstream_arm.config_yaml import HUBERT, SIZES, TRAINING, Dialect, read_block
from upstream_arm.convolutions import receptive_field
from upstream_arm.frontend import valid_frames
from upstream_arm.peers.family import Family, PeerFile, training_config
from upstream_arm.peers.model import Peer, PeerConfig
from upstream_arm.peers.star import plain_config

#: Frames that one frame of the layers stands for.
_STEP = 2
_FIXED = {
    **HUBERT,
    "enable_tr_layer": True,
    "tr_layer_type": "conv1d",
    "tr_layer_index": 0,
    "tr_reduce_factor": _STEP,
    "layerwise_proj": True,
    "attn_type": "",
    "pos_enc_type": "abs",
    "n_mels": 0,
    "pred_head_inter_dim": 0,
}
_ENTRY = "fithubert_local"
_DIALECT = Dialect(
    "a FitHuBERT student",
    _FIXED,
    # The authors' defaults of the settings after SIZES are of another model.
    (
        *SIZES,
        *("enable_tr_layer", "tr_layer_type", "tr_layer_index", "tr_reduce_factor", "layerwise_proj"),
        "pred_head_final_dim",
    ),
    (
        *TRAINING,
        *("pred_layer_id", "depthwise_conv_kernel_size", "fp16", "tr_conv1d_kernel", "layer_grad_scale"),
        *("enable_log_mel", "mel_spec_head_conv_layers"),
    ),
)


class FitStudent(Peer):
    """Its layers see pairs of frames: of an odd number the last frame is lost."""

    def __init__(self, config: PeerConfig) -> None:
        super().__init__(config)
        width = config.embed_dim
        self.reduction = nn.Conv1d(width, width, _STEP, _STEP)
        self.upsampler = nn.ConvTranspose1d(width, width, _STEP, _STEP)
        assert config.projection_dim is not None, "from_authors asks for it"
        self.lin_proj = nn.Linear(width, config.projection_dim)

    def encode(self, x: Tensor, valid: Tensor | None, counts: list[int]) -> tuple[list[Tensor], list[int]]:
        """The projection of the last layer alone; a pair of frames with padding in it is padding."""
        pairs = [count // _STEP for count in counts]
        if min(pairs) < 1:
            first, step = receptive_field(self.config.conv_layers)
            raise UpstreamError(
                f"utterance {pairs.index(0)} of the batch has one frame and FitHuBERT takes pairs, expected "
                f"at least {first + step} samples; leave it out or lengthen it"
            )
        x = self.reduction(self.encoder.place(x, valid).transpose(1, 2)).transpose(1, 2)
        seen = valid_frames(pairs, x.shape[1], x.device) if min(pairs) < x.shape[1] else None
        last = self.encoder.path(x, seen)[-1]
        projected = self.lin_proj(self.upsampler(last.transpose(1, 2)).transpose(1, 2))
        return [projected], [_STEP * pair for pair in pairs]


def from_authors(block: Mapping[str, Any]) -> PeerConfig:
    """Read the `distiller` block of a training yaml; UpstreamError as of `read_block`."""
    families.refuse_other_yaml(block, _ENTRY)
    return plain_config(read_block(block, _DIALECT), block["encoder_layers"], block["pred_head_final_dim"])


def _config(file: PeerFile) -> PeerConfig:
    return training_config(file, from_authors)


def _weights(file: PeerFile, config: PeerConfig) -> dict[str, Tensor]:
    """Without the other layers' projections, and without an upsampler of the model, which nothing passes."""
    weights = student_weights(file.content.get("state_dict", file.content), file.path)
    unused = re.compile(rf"upsampler\.|proj_head\.(?!{config.blocks - 1}\.)\d+\.")
    return {key: weight for key, weight in weights.items() if not unused.match(key)}


def _stored(name: str, config: PeerConfig) -> str:
    """The reduction is the authors' layer 0, and the projections are the last layer's."""
    part, _, rest = name.partition(".")
    if part == "reduction":
        return f"encoder.layers.0.{rest}"
    if part in ("upsampler", "lin_proj"):
        return f"proj_head.{config.blocks - 1}.{name}"
    return re.sub(r"^encoder\.layers\.(\d+)", lambda found: f"encoder.layers.{int(found[1]) + 1}", name)


FITHUBERT = Family(
    "FitHuBERT", _config, FitStudent, _weights, _stored, published_states=("last_hidden_state", None)
)
