"""Students to make: the presets, what their recipes say, and a tiny one to try things with."""

from __future__ import annotations

import dataclasses

from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig, reuse_pattern
from upstream_arm.distillation.settings import (
    EFFECTIVE_BATCH,
    EPOCHS,
    EPOCHS_S_960H,
    LEARNING_RATE,
    LEARNING_RATE_MASKHUBERT,
)
from upstream_arm.presets import PRESETS, preset

TINY = "tiny"


@dataclasses.dataclass(frozen=True)
class StudentRecipe:
    """A student and the values its recipe has.

    Attributes:
        name: of the preset.
        config: its shape.
        hours: of LibriSpeech, 100 or 960.
        epochs: passes over them.
        learning_rate: at its peak.
        effective_batch: utterances behind one step of the optimiser.
        batch_size: utterances at once.
    """

    name: str
    config: StudentConfig
    hours: int
    epochs: int = EPOCHS
    learning_rate: float = LEARNING_RATE
    effective_batch: int = EFFECTIVE_BATCH
    batch_size: int = 18


def tiny_student() -> StudentConfig:
    """Six narrow layers with the paper's strides, every second one reusing a map: a minute on a CPU.

    Dropout is left to the input: so small a student only loses by more.
    """
    return StudentConfig(
        conv_layers=((24, 10, 5), (24, 1, 1), *((24, 3, 2),) * 4, (48, 1, 1), *((48, 2, 2),) * 2),
        embed_dim=48,
        ffn_dim=96,
        heads=4,
        reuse_pattern=reuse_pattern("2by6", layers=6),
        projection_dim=64,
        conv_pos=16,
        conv_pos_groups=4,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
    )


def recipe(name: str, hours: int | None = None) -> StudentRecipe:
    """The student of a preset's name and its recipe.

    `armhubert_s` and `armwavlm_s` are completed by the hours.

    Args:
        name: a preset, or `tiny`.
        hours: of LibriSpeech; None for what the name says, 100 for the students of Table 2, else 960.

    Raises:
        UpstreamError: for an unknown name.
    """
    if name == TINY:
        # Its rates and batches suit the demo corpus of sixty short utterances.
        return StudentRecipe(TINY, tiny_student(), hours or 100, 20, 5e-3, 10, 10)
    if hours is None:
        hours = 100 if name.endswith("_100h") or name.startswith("table2") else 960
    if name not in PRESETS and f"{name}_{hours}h" in PRESETS:
        name = f"{name}_{hours}h"
    config = preset(name)
    return StudentRecipe(
        name=name,
        config=config,
        hours=hours,
        epochs=EPOCHS_S_960H if name.endswith("_s_960h") else EPOCHS,
        learning_rate=LEARNING_RATE_MASKHUBERT if name == "maskhubert" else LEARNING_RATE,
    )


def fitted(config: StudentConfig, width: int, layers: int) -> StudentConfig:
    """The student with projections to the teacher's width, if it has projections.

    Raises:
        UpstreamError: if the teacher's layers cannot be shared out evenly among the student's.
    """
    if layers % config.layers:
        raise UpstreamError(
            f"the teacher has {layers} layers and the student {config.layers}, expected a multiple; give "
            "another teacher, or a student of another depth (--model-config)"
        )
    return config if config.projection_dim is None else config.replace(projection_dim=width)
