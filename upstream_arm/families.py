"""Of which family of students a checkpoint or a yaml is, by the names of what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from upstream_arm.common.errors import UpstreamError
from upstream_arm.names import PEERS

_OWN = "armhubert_local"
_LABELS = {_OWN: "MaskHuBERT or ARMHuBERT", **PEERS}
_STUDENT = "student_model."


def entry_of(content: Mapping[Any, Any]) -> str | None:
    """The entry that reads a torch file of this content; None if it looks like none of them."""
    config, state = content.get("config"), content.get("state_dict", content)
    if isinstance(config, Mapping) and "extractor_conv_layer_config" in config:
        return "dpwavlm_local" if "encoder_remaining_heads" in config else "dphubert_local"
    if "Distiller" in content and "Config" in content:
        return "distilhubert_local"
    cfg = content.get("cfg")
    model = cfg.get("model") if isinstance(cfg, Mapping) else None
    if isinstance(model, Mapping) and "pruner_supernet" in model:
        small = str(model["pruner_supernet"]).lower().endswith("small.yaml")
        return "lighthubert_small_local" if small else "lighthubert_base_local"
    return _of_names(map(str, state)) if isinstance(state, Mapping) else None


def _of_names(names: Iterable[str]) -> str | None:
    """The entry for weights of fairseq's layout, a student's alone or beside its teacher's."""
    names = list(names)
    own = [name.removeprefix(_STUDENT) for name in names if name.startswith(_STUDENT)] or names
    text = "\n".join(own)
    if re.search(r"^(proj_head\.\d+\.upsampler|encoder\.layers\.\d+\.weight$)", text, re.MULTILINE):
        return "fithubert_local"
    if re.search(r"^(mask_emb$|proj_head\.)", text, re.MULTILINE):
        return _OWN
    starts = ("feature_extractor.conv_layers.0.0.", "encoder.layers.0.self_attn.q_proj.")
    return "starhubert_local" if all(f"\n{start}" in f"\n{text}" for start in starts) else None


def refuse_other(content: Mapping[Any, Any], path: Path, entry: str = _OWN) -> None:
    """UpstreamError if a file looks like that of another entry than the one that is to read it."""
    found = entry_of(content)
    if found not in (None, entry):
        raise UpstreamError(
            f"{path} looks like a file of {_LABELS[found]}, expected {_LABELS[entry]}; use {found} for it"
        )
