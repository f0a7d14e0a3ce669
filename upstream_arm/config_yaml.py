"""Students' yaml files, read into a `StudentConfig`: the authors' training yaml, or our own.

Where a key of the authors' `distiller` block is missing, their code falls back to a default of its own; some
of those defaults change the model, so for these the key must be there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from upstream_arm import families
from upstream_arm.common.errors import UpstreamError, about, reason
from upstream_arm.common.words import shown
from upstream_arm.config import (
    MAX_ITEMS,
    StudentConfig,
    check_keys,
    from_mapping,
    read_conv_layers,
    reuse_pattern,
)

# authors' key -> our field
RENAMED = {
    "encoder_embed_dim": "embed_dim",
    "encoder_ffn_embed_dim": "ffn_dim",
    "encoder_attention_heads": "heads",
    **{name: name for name in ("conv_pos", "conv_pos_groups", "layer_grad_scale", "dropout_input")},
    **{name: name for name in ("dropout", "attention_dropout", "activation_dropout")},
}

# Settings of which only one value is HuBERT's architecture.
HUBERT: dict[str, Any] = {
    "extractor_mode": "default",
    "conv_bias": False,
    "pos_conv_depth": 1,
    "layer_type": "transformer",
    "activation_fn": "gelu",
    "layer_norm_first": False,
}
# Likewise of these students.
_FIXED: dict[str, Any] = {
    **HUBERT,
    "attn_type": "",
    "pos_enc_type": "abs",
    "pred_head_inter_dim": 0,
    "enable_tr_layer": False,
    "layerwise_proj": True,
}

# Settings without effect on the features: training, or unused once the fixed ones are as above.
TRAINING = (
    *("feature_grad_mult", "max_positions", "encoder_layerdrop", "checkpoint_activations"),
    *("final_dim", "init_conv_layers", "init_encoder_layers"),
    # Padding to a multiple is masked out of attention and cut off again.
    *("required_seq_len_multiple", "crop_seq_to_multiple"),
)
_IGNORED = (
    *TRAINING,
    *("pred_layer_id", "depthwise_conv_kernel_size", "fp16", "freeze_student_mask", "update_teacher_mask"),
    *("tr_conv1d_kernel", "tr_layer_index", "tr_reduce_factor", "tr_layer_type"),
)

SIZES = (
    *("conv_feature_layers", "encoder_layers", "encoder_embed_dim", "encoder_ffn_embed_dim"),
    "encoder_attention_heads",
)


@dataclasses.dataclass(frozen=True)
class Dialect:
    """What the `distiller` block of a family's training yaml may say.

    student: of whom it is; fixed: settings of which only one value is supported; needed: those that must be
    there; ignored: those without effect on the features.
    """

    student: str
    fixed: Mapping[str, Any]
    needed: tuple[str, ...]
    ignored: tuple[str, ...]


_ARM = Dialect(
    "a MaskHuBERT or ARMHuBERT student",
    _FIXED,
    (*SIZES, "pred_head_final_dim", "enable_tr_layer", "layerwise_proj"),
    (*_IGNORED, "reuse_pattern"),
)


def from_authors(block: Mapping[str, Any]) -> StudentConfig:
    """Read the `distiller` block of a released training yaml; the switches are those of `StudentConfig`.

    UpstreamError as of `read_block`, and for another family's.
    """
    families.refuse_other_yaml(block)
    values = read_block(block, _ARM)
    layers = block["encoder_layers"]
    # MaskHuBERT's yaml has no pattern: every layer computes its own map.
    pattern = reuse_pattern(block.get("reuse_pattern") or "none", layers)
    if len(pattern) != layers:
        raise UpstreamError(
            f"reuse_pattern has {len(pattern)} entries but encoder_layers is {layers}, expected one entry a "
            "layer; correct the yaml"
        )
    return StudentConfig(reuse_pattern=pattern, projection_dim=block["pred_head_final_dim"], **values)


def read_block(block: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """The fields of a `distiller` block that every family has, under our names.

    UpstreamError for an unknown key, a missing one whose fall-back would change the model, or a value that is
    another architecture.
    """
    known = {*RENAMED, *dialect.fixed, *dialect.ignored, *dialect.needed}
    what = "the distiller block (where the authors' code would silently use another model)"
    check_keys(block, known, dialect.needed, what)
    for key, expected in dialect.fixed.items():
        if block.get(key, expected) != expected:
            raise UpstreamError(
                f"the distiller block sets {key} to {block[key]!r}, but only {expected!r} is supported; "
                f"give the yaml of {dialect.student}"
            )
    layers = block["encoder_layers"]
    if type(layers) is not int or not 1 <= layers <= MAX_ITEMS:
        raise UpstreamError(
            f"encoder_layers is {shown(layers)}, expected a whole number from 1 to {MAX_ITEMS}; correct it"
        )
    values = {ours: block[theirs] for theirs, ours in RENAMED.items() if theirs in block}
    return {
        "conv_layers": read_conv_layers(block["conv_feature_layers"], "conv_feature_layers"),
        **values,
    }


_Read = Callable[[Mapping[str, Any]], StudentConfig]


_READERS: Mapping[str, _Read] = MappingProxyType({"distiller": from_authors, "student": from_mapping})


def load_yaml(path: Path | str, readers: Mapping[str, _Read] = _READERS) -> StudentConfig:
    """Read a student's yaml: the authors' training yaml (`distiller:`) or ours (`student:`).

    `readers` are for the blocks of another family's yaml.

    UpstreamError, which names the file, if it is not such a yaml.
    """
    import yaml

    path = Path(path)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UpstreamError(f"{path} does not exist, expected the student's yaml; check the path") from None
    except (yaml.YAMLError, ValueError, OSError, RecursionError) as error:  # also of too many digits
        raise UpstreamError(
            f"{path} cannot be read as yaml ({reason(error)}); give the student's yaml"
        ) from None
    if isinstance(document, Mapping):
        for key, read in readers.items():
            block = document.get(key)
            if isinstance(block, Mapping):
                with about(path):
                    return read(block)
    kinds = {
        "distiller": "a 'distiller' block (the authors' training yaml)",
        "student": "a 'student' block (ours)",
    }
    expected = " or ".join(kinds[key] for key in readers)
    raise UpstreamError(f"{path} is no student's yaml, expected {expected}; give one that has it")
