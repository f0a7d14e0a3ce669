"""Speaker diarisation on Libri2Mix: who of two speakers speaks when, DER of dscore on test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from downstream_runs.core.task import Cost, MetricSpec, Score, Selection, TaskSpec
from downstream_runs.corpora import librimix
from downstream_runs.protocols import sd
from downstream_runs.recipes import Recipes


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """s3prl's frame accuracy and frame DER, means over chunks, which nothing but its log holds."""
    return (
        Score("frame_acc", 100.0 * scalars[f"diarization/{split}-acc"], {}),
        Score("frame_der", 100.0 * scalars[f"diarization/{split}-der"], {}),
    )


def used(dataset: Any) -> int:
    """Recordings in s3prl's training set, of which each may give several chunks."""
    return len({recording for recording, _, _ in dataset.chunk_indices})


def _datarc(*keys: str) -> tuple[str, ...]:
    return tuple(f"downstream_expert.datarc.{key}" for key in keys)


def _frame_metric(name: str, title: str, better: Literal["lower", "higher"], scalar: str) -> MetricSpec:
    """No official number: over 10 or 20 ms frames, a mean over chunks, at threshold 0.5."""
    return MetricSpec(name, title, "percent", better, scalar, factor=100.0, official=False)


TASK = TaskSpec(
    name="sd",
    title="Speaker diarization",
    s3prl_name="diarization",
    aliases=("diarization", "speaker-diarization", "diarisation"),
    corpus=librimix.CORPUS,
    recipes=Recipes("sd"),
    cost=Cost(hours="6-12"),
    metrics=(
        MetricSpec("der", "diarization error rate", "percent", "lower", None),
        _frame_metric("frame_acc", "frame accuracy", "higher", "diarization/{split}-acc"),
        _frame_metric("frame_der", "frame-level DER", "lower", "diarization/{split}-der"),
    ),
    selection=Selection(split="dev", metric="frame_acc", artefact=sd.CHECKPOINT, s3prl_bound=0.0),
    artefacts=(sd.CHECKPOINT, sd.FRAME_SHIFT),
    submitted={
        sd.FRAME_SHIFT: "sd_public/frame_shift",
        f"{sd.PREDICTIONS}/": "sd_public/scoring/predictions",
    },
    # s3prl's scoring takes both for granted, whatever the head was trained with.
    fixed_keys=_datarc("rate", "subsampling"),
    data_keys=_datarc("chunk_size", "label_delay", "num_speakers", "frame_shift"),
    score=score,
    test=sd.test,
    used=used,
    frame_labels=True,
)
