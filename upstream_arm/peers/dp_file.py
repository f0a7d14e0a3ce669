"""Files of DPHuBERT and DPWavLM, {"state_dict", "config", "distill_linear_projs"}.

Facts from github.com/pyf98/DPHuBERT (MIT). The configuration alone describes the model, and
`distill_linear_projs` served distillation only.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from upstream_arm.checkpoint import student_weights
from upstream_arm.common.errors import UpstreamError, about
from upstream_arm.common.words import shown
from upstream_arm.config import read_conv_layers
from upstream_arm.peers.dp import DPConfig, DPStudent
from upstream_arm.peers.family import Family, PeerFile

#: Our name of a weight -> that in the authors' files, by patterns applied one after another.
_NAMES = (
    (r"^dummy_weight", "feature_extractor.dummy_weight"),
    (r"^(feature_extractor\.conv_layers\.\d+)\.0\.", r"\1.conv."),
    (r"^(feature_extractor\.conv_layers\.\d+)\.2\.", r"\1.layer_norm."),
    (r"^layer_norm\.", "encoder.feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "encoder.feature_projection.projection."),
    (r"^encoder\.pos_conv\.0\.", "encoder.transformer.pos_conv_embed.conv."),
    (r"^encoder\.layer(s|_norm)\.", r"encoder.transformer.layer\1."),
    (r"\.self_attn\.", ".attention."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
)
#: Our field -> the authors' key with the same meaning.
_RENAMED = {
    "conv_norm": "extractor_mode",
    "conv_bias": "extractor_conv_bias",
    "normalises": "normalize_waveform",
    "embed_dim": "encoder_embed_dim",
    "conv_pos": "encoder_pos_conv_kernel",
    "conv_pos_groups": "encoder_pos_conv_groups",
    "pre_norm": "encoder_layer_norm_first",
    "dropout": "encoder_dropout",
    "attention_dropout": "encoder_attention_dropout",
    "activation_dropout": "encoder_ff_interm_dropout",
    "dropout_input": "encoder_projection_dropout",
}
_LISTS = ("encoder_use_attention", "encoder_use_feed_forward", "encoder_ff_interm_features")
_HUBERT = ("encoder_num_heads", "encoder_head_dim")
_WAVLM = (
    *("encoder_remaining_heads", "encoder_total_num_heads", "encoder_num_buckets", "encoder_max_distance"),
)
#: True while a model is being pruned.
_PRUNES = (
    *("extractor_prune_conv_channels", "encoder_prune_attention_heads", "encoder_prune_attention_layer"),
    *("encoder_prune_feed_forward_intermediate", "encoder_prune_feed_forward_layer"),
)
_GATES = "hard_concrete"


def _stored(name: str, _: DPConfig) -> str:
    for ours, theirs in _NAMES:
        name = re.sub(ours, theirs, name)
    return name


def _weights(file: PeerFile, _: DPConfig) -> dict[str, Tensor]:
    return student_weights(file.content["state_dict"], file.path)


def _config(file: PeerFile) -> DPConfig:
    given, state = file.content["config"], file.content["state_dict"]
    gates = [key for key in state if _GATES in str(key)]
    if gates or any(given.get(key) for key in _PRUNES):
        found = f"it holds the gate {gates[0]}" if gates else "its configuration says that it is being pruned"
        raise UpstreamError(
            f"the pruning of {file.path} is not finished ({found}), expected a final model; finish it with "
            "the authors' code"
        )
    try:
        with about(file.path):
            return _described(given, wavlm=_WAVLM[0] in given)
    except KeyError as error:
        raise UpstreamError(
            f"the configuration in {file.path} lacks {error}; use the authors' file as it is"
        ) from None
    except (IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UpstreamError(
            f"the configuration in {file.path} cannot be read ({error}); use the authors' file as it is"
        ) from None


def _described(given: dict[str, Any], wavlm: bool) -> DPConfig:
    """The shape by the configuration; errors of Python's own for what has not its types."""
    attends, feeds, widths = (given[key] for key in _LISTS)
    if given["encoder_num_layers"] != len(attends):
        raise ValueError(f"it is of {shown(given['encoder_num_layers'])} layers and lists {len(attends)}")
    width = given["encoder_embed_dim"]
    further: dict[str, Any] = {}
    if wavlm:
        remaining, totals, buckets, furthest = (given[key] for key in _WAVLM)
        heads = totals[0]
        if any(total != heads for total in totals):
            raise ValueError("its layers had different numbers of heads")
        further = {"buckets": buckets, "max_distance": furthest, "head_dim": width // heads}
    else:
        numbers, head_dim = (given[key] for key in _HUBERT)
        heads = width // head_dim
        remaining = [range(min(number, heads + 1)) for number in numbers]  # one too many is refused
        further = {"head_dim": head_dim}
    return DPConfig(
        conv_layers=read_conv_layers(given["extractor_conv_layer_config"], "extractor_conv_layer_config"),
        ffn_dim=max(1, *widths),
        projects=True,
        heads=heads,
        reuse_pattern=(True,) * len(attends),
        projection_dim=None,
        kept_heads=tuple(tuple(own) if use else () for own, use in zip(remaining, attends, strict=True)),
        ffn_dims=tuple(own if use else 0 for own, use in zip(widths, feeds, strict=True)),
        **{ours: given[theirs] for ours, theirs in _RENAMED.items()},
        **further,
    )


DPHUBERT = Family("DPHuBERT", _config, DPStudent, _weights, _stored)
DPWAVLM = Family("DPWavLM", _config, DPStudent, _weights, _stored)
