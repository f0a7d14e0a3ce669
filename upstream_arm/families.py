"""Of which family of students a checkpoint or a yaml is, by the names of what it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from upstream_arm.common.errors import UpstreamError
from upstream_arm.names import PEERS

OWN = "armhubert_local"
_LABELS = {OWN: "MaskHuBERT or ARMHuBERT", **PEERS}
_STUDENT = "student_model."

# Settings of the authors' training yaml: FitHuBERT's code alone has the first ones, MaskHuBERT's and
# ARMHuBERT's alone the last ones, both those between, and STaRHuBERT's fails at all of them.
_FIT_ONLY = ("n_mels", "enable_log_mel", "mel_spec_head_conv_layers")
_BOTH = (
    *("layerwise_proj", "pred_layer_id", "pred_head_inter_dim", "pred_head_final_dim", "attn_type", "fp16"),
    *("enable_tr_layer", "tr_conv1d_kernel", "tr_layer_index", "tr_reduce_factor", "tr_layer_type"),
    *("pos_enc_type", "depthwise_conv_kernel_size"),
)
_ARM_ONLY = ("reuse_pattern", "freeze_student_mask", "update_teacher_mask")


def entry_of(content: Mapping[Any, Any]) -> str | None:
    """The entry that reads a torch file of this content; None if it looks like none of them."""
    config, state = _within(content, "config"), _within(content, "state_dict")
    if "extractor_conv_layer_config" in config and state:
        return "dpwavlm_local" if "encoder_remaining_heads" in config else "dphubert_local"
    if _within(content, "Config", "distiller") and _within(content, "Distiller"):
        return "distilhubert_local"
    supernet = _within(content, "cfg", "model").get("pruner_supernet")
    if isinstance(supernet, str) and _within(content, "model"):
        return f"lighthubert_{'small' if supernet.lower().endswith('small.yaml') else 'base'}_local"
    if {"similarity_weight", "lstm.weight_ih_l0"} <= _within(content, "model_state").keys():
        return "ge2e_local"
    return _of_names([str(name) for name in state or content])


def _within(content: Mapping[Any, Any], *keys: str) -> Mapping[Any, Any]:
    """What is under these keys, one in another; empty where it is no mapping."""
    inside: Any = content
    for key in keys:
        inside = inside.get(key) if isinstance(inside, Mapping) else None
    return inside if isinstance(inside, Mapping) else {}


def _of_names(names: list[str]) -> str | None:
    """The entry for weights of fairseq's layout, a student's alone or beside its teacher's."""
    own = [name.removeprefix(_STUDENT) for name in names if name.startswith(_STUDENT)] or names
    text = "\n".join(own)
    if re.search(r"^(proj_head\.\d+\.upsampler|encoder\.layers\.\d+\.weight$)", text, re.MULTILINE):
        return "fithubert_local"
    if re.search(r"^(mask_emb$|proj_head\.)", text, re.MULTILINE):
        return OWN
    starts = ("feature_extractor.conv_layers.0.0.", "encoder.layers.0.self_attn.q_proj.")
    return "starhubert_local" if all(f"\n{start}" in f"\n{text}" for start in starts) else None


def refuse_other(content: Mapping[Any, Any], path: Path, entry: str = OWN) -> None:
    """UpstreamError if a file does not look like one of the entry that is to read it.

    Our own entry takes what looks like none of these, such as safetensors of one's own.
    """
    found = entry_of(content)
    if found == entry or (found is None and entry == OWN):
        return
    if found is None:
        keys = ", ".join(repr(key) for key in list(content)[:5])
        raise UpstreamError(
            f"{path} is no file of {_LABELS[entry]} (its entries are {keys}), expected its authors' file; "
            "give that one"
        )
    raise UpstreamError(
        f"{path} looks like a file of {_LABELS[found]}, expected {_LABELS[entry]}; use {found} for it"
    )


def refuse_other_yaml(block: Mapping[str, Any], entry: str = OWN) -> None:
    """UpstreamError if the `distiller` block of a training yaml looks like that of another family."""
    reduces = ["enable_tr_layer"] if block.get("enable_tr_layer") is True else []
    fit = [key for key in _FIT_ONLY if key in block] or reduces
    arm = [key for key in (*_ARM_ONLY, *_BOTH) if key in block]
    found = "fithubert_local" if fit else OWN if arm else "starhubert_local"
    if found == entry or "encoder_embed_dim" not in block:
        return
    sign = f"has {(fit or arm)[0]}" if fit or arm else f"lacks {_BOTH[0]}"
    raise UpstreamError(
        f"the distiller block looks like one of {_LABELS[found]} (it {sign}), expected one of "
        f"{_LABELS[entry]}; use {found} for such a model"
    )
