"""Speaker diarisation on Libri2Mix: who of two speakers speaks when, DER of dscore on test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.task import MetricSpec, Recipe, Score, Selection, TaskSpec
from downstream_runs.corpora import librimix
from downstream_runs.tasks import _blocks

if TYPE_CHECKING:
    from downstream_runs.core.results import Metric
    from downstream_runs.engine.bench import Bench


def _config(
    *,
    steps: int,
    every: tuple[int, int, int],
    lr: float,
    batch: tuple[int, int],
    hidden: int,
    workers: int,
) -> dict[str, Any]:
    """s3prl's blocks; `every` is log, evaluation and checkpoint steps, `batch` chunks and accumulation."""
    chunks, accumulate = batch
    expert = {
        "datarc": {
            "chunk_size": 2000,
            "subsampling": 1,
            "label_delay": 0,
            "num_speakers": 2,
            "rate": 16000,
            # s3prl then takes the upstream's own, and writes it to the file frame_shift.
            "frame_shift": None,
        },
        "loaderrc": {"num_workers": workers, "train_batchsize": chunks, "eval_batchsize": 1},
        "scorerc": {"save_predictions": True},
        "modelrc": {"rnn_layers": 1, "hidden_size": hidden},
    }
    return _blocks.config(steps=steps, every=every, lr=lr, accumulate=accumulate, expert=expert)


_SUPERB: dict[str, Any] = {
    "steps": 30_000,
    "every": (500, 500, 500),
    "lr": 1e-4,
    "batch": (8, 4),
    "hidden": 512,
    "workers": 8,
}

RECIPES = {
    "superb": Recipe(
        name="superb",
        config=_config(**_SUPERB),
        note="s3prl's defaults: a batch of 8 chunks, accumulated over 4",
        source="s3prl 0.4.18, downstream/diarization/config.yaml",
    ),
    "paper": Recipe(
        name="paper",
        config=_config(**_SUPERB),
        note="the same as superb: s3prl's diarisation config has no schedule that could be switched on",
        source=_blocks.PAPER_SOURCE,
    ),
    "demo": _blocks.own(
        "demo",
        _config(steps=100, every=(10, 50, 50), lr=3e-3, batch=(4, 1), hidden=64, workers=0),
        "a small head and few steps: shows that everything works, says nothing about the upstream",
    ),
    "sample": _blocks.own(
        "sample",
        _config(steps=150, every=(10, 50, 50), lr=1e-3, batch=(4, 1), hidden=64, workers=0),
        "a small head and a handful of real recordings",
    ),
}


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """s3prl's frame accuracy and frame DER, means over chunks, which nothing but its log holds."""
    return (
        Score("frame_acc", 100.0 * scalars[f"diarization/{split}-acc"], {}),
        Score("frame_der", 100.0 * scalars[f"diarization/{split}-der"], {}),
    )


def used(dataset: Any) -> int:
    """Recordings in s3prl's training set, of which each may give several chunks."""
    return len({recording for recording, _, _ in dataset.chunk_indices})


def test(bench: Bench) -> tuple[Metric, ...]:
    """DER, the lowest of ten ways from probabilities to turns on test and, beside it, on dev."""
    from downstream_runs.protocols import sd

    return sd.test(bench)


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
    recipes=RECIPES,
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
