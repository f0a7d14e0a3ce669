"""Settings of a distillation that takes seconds, and what a run of it recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from upstream_arm.distillation import state
from upstream_arm.distillation.settings import TINY_STUDENT, MaskRatio, Settings

STUDENT = TINY_STUDENT.replace(reuse_softmax="single", dropout=0.1, attention_dropout=0.1)
WITHOUT_DROPOUT = STUDENT.replace(dropout=0.0, attention_dropout=0.0, dropout_input=0.0)
"""For runs on two devices, each of which draws random numbers of its own."""


def settings(data: Path, **changes: Any) -> Settings:
    """Of the corpus in the folder `data`: batches of two, two of them behind each step."""
    values: dict[str, Any] = {
        "preset": "tiny",
        "student": STUDENT,
        "teacher": "random:hubert",
        "data": str(data),
        "train": ("train-clean-100",),
        "dev": ("dev-clean",),
        "form": "paper",
        "objective": "full",
        "ratio": MaskRatio.parse("0.8"),
        "epochs": 2,
        "batch_size": 2,
        "effective_batch": 4,
        "learning_rate": 3e-3,
        "precision": "fp32",
        "seed": 0,
        "full_epochs": 2,
    }
    return Settings(**{**values, **changes})


def records(folder: Path) -> list[dict[str, Any]]:
    """What the run in `folder` recorded of each step."""
    return [json.loads(line) for line in (folder / state.METRICS).read_text(encoding="utf-8").splitlines()]
