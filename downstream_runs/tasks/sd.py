"""Speaker diarisation on Libri2Mix: who of two speakers speaks when, DER of dscore on test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.task import MetricSpec, Score, Selection, TaskSpec
from downstream_runs.corpora import librimix
from downstream_runs.recipes import Recipes

if TYPE_CHECKING:
    from downstream_runs.core.results import Metric
    from downstream_runs.engine.trained_run import TrainedRun


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """s3prl's frame accuracy and frame DER, means over chunks, which nothing but its log holds."""
    return (
        Score("frame_acc", 100.0 * scalars[f"diarization/{split}-acc"], {}),
        Score("frame_der", 100.0 * scalars[f"diarization/{split}-der"], {}),
    )


def used(dataset: Any) -> int:
    """Recordings in s3prl's training set, of which each may give several chunks."""
    return len({recording for recording, _, _ in dataset.chunk_indices})


def test(run: TrainedRun) -> tuple[Metric, ...]:
    """DER, the lowest of ten ways from probabilities to turns on test and, beside it, on dev."""
    from downstream_runs.protocols import sd

    return sd.test(run)


TASK = TaskSpec(
    name="sd",
    title="Speaker diarization",
    s3prl_name="diarization",
    aliases=("diarization", "speaker-diarization", "diarisation"),
    corpus=librimix.CORPUS,
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(
        MetricSpec("der", "diarization error rate", "percent", "lower", None),
        MetricSpec(
            "frame_acc",
            "frame accuracy",
            "percent",
            "higher",
            "diarization/{split}-acc",
            100.0,
            official=False,
        ),
        # Not the official number: over 10 or 20 ms frames, a mean over chunks, at threshold 0.5.
        MetricSpec(
            "frame_der",
            "frame-level DER",
            "percent",
            "lower",
            "diarization/{split}-der",
            100.0,
            official=False,
        ),
    ),
    selection=Selection(split="dev", metric="frame_acc", artefact="best-states-dev.ckpt", s3prl_bound=0.0),
    artefacts=("best-states-dev.ckpt", "frame_shift"),
    recipes=Recipes("sd"),
    # s3prl's scoring takes both for granted, whatever the head was trained with.
    fixed_keys=("downstream_expert.datarc.rate", "downstream_expert.datarc.subsampling"),
    data_keys=tuple(
        f"downstream_expert.datarc.{key}"
        for key in ("chunk_size", "label_delay", "num_speakers", "frame_shift")
    ),
    score=score,
    used=used,
    test=test,
)
