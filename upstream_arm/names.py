"""Names only: which upstreams this package offers, for callers that must not load torch.

A released name stands for one of the authors' checkpoints on Hugging Face (`REPOSITORY`); `_local`,
`_url` and `_custom` names take a checkpoint of the user's, `_random` names have seeded untrained weights.
"""

from __future__ import annotations

from types import MappingProxyType

REPOSITORY = "sungnyun/ARMHuBERT"

# preset -> its file in the authors' repository
RELEASED = MappingProxyType(
    {
        "armhubert": "ARMHuBERT-960h.ckpt",
        "armhubert_s_960h": "ARMHuBERT-S-960h.ckpt",
        "armhubert_s_100h": "ARMHuBERT-S-100h.ckpt",
        "armwavlm_s_960h": "ARMwavLM-S-960h.ckpt",
        "armwavlm_s_100h": "ARMwavLM-S-100h.ckpt",
        "maskhubert": "MaskHuBERT-960h.ckpt",
    }
)

# Two spellings of one upstream: the README's and s3prl's habit.
ALIASES = MappingProxyType({"arm_hubert": "armhubert"})

# The settings that change a student's arithmetic, each with its default first; see StudentConfig. `repeats`
# is for unfolded students alone, `own` being what the checkpoint says.
SWITCHES = MappingProxyType(
    {
        "reuse_softmax": ("double", "single"),
        "batching": ("exact", "released"),
        "repeats": ("own", *map(str, range(1, 13))),
    }
)

# `batching` of upstreams that are no students: as s3prl does, or "exact".
STOCK = "stock"

# Entries for files of other papers' authors -> the family's name. These models have one switch, `batching`.
PEERS = MappingProxyType(
    {
        "dphubert_local": "DPHuBERT",
        "dpwavlm_local": "DPWavLM",
        "starhubert_local": "STaRHuBERT",
        "fithubert_local": "FitHuBERT",
        "distilhubert_local": "DistilHuBERT",
        "lighthubert_small_local": "LightHuBERT small",
        "lighthubert_base_local": "LightHuBERT base",
        "ge2e_local": "GE2E's speaker encoder (Resemblyzer)",
    }
)

VARIANTS = ("_local", "_url", "_custom", "_random")


def canonical(name: str) -> str:
    """The preset behind a name: aliases resolved, `_local`, `_url`, `_custom` and `_random` cut off."""
    for variant in VARIANTS:
        name = name.removesuffix(variant)
    return ALIASES.get(name, name)


def is_released_name(name: str) -> bool:
    """Whether a name by itself means a checkpoint of the authors."""
    return name in RELEASED or name in ALIASES


def names() -> tuple[str, ...]:
    """Every upstream name that `upstream_arm.s3prl_hub` adds to s3prl's hub."""
    stems = (*ALIASES, *RELEASED)
    return (*(stem + variant for stem in stems for variant in ("", *VARIANTS)), *PEERS)
