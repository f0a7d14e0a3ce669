"""Speaker identification on VoxCeleb1: which of 1,251 speakers says an utterance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.task import Recipe, Score, Selection, TaskSpec
from downstream_runs.corpora import voxceleb1_identification
from downstream_runs.tasks import _blocks, _labels


def _config(
    *,
    steps: int,
    every: tuple[int, int, int],
    lr: float,
    batch: tuple[int, int],
    workers: int,
    warmup: int | None = None,
) -> dict[str, Any]:
    """s3prl's blocks; `every` is log, evaluation and checkpoint steps, `batch` size and accumulation.

    Training crops are 8 seconds; dev and test utterances are whole, one at a time.
    """
    size, accumulation = batch
    expert = {
        "datarc": {
            "num_workers": workers,
            "train_batch_size": size,
            "eval_batch_size": 1,
            "max_timestep": 128_000,
        },
        "modelrc": _blocks.mean_pooling(),
    }
    return _blocks.config(
        steps=steps, every=every, lr=lr, accumulate=accumulation, expert=expert, warmup=warmup
    )


_SUPERB: dict[str, Any] = {
    "steps": 200_000,
    "every": (500, 5000, 1000),
    "batch": (8, 4),
    "workers": 12,
}

RECIPES = {
    "superb": Recipe(
        name="superb",
        config=_config(**_SUPERB, lr=1e-4),
        note="s3prl's defaults",
        source="s3prl 0.4.18, downstream/voxceleb1/config.yaml",
    ),
    "paper": Recipe(
        name="paper",
        config=_config(**_SUPERB, lr=1e-3, warmup=5000),
        note="ten times superb's learning rate, and its schedule: linear to the peak at 5000, then to 0",
        source="ARMHuBERT, section 4.1: s3prl's defaults, SID's rate times 10, the commented scheduler",
    ),
    "demo": _blocks.own(
        "demo",
        _config(steps=60, every=(10, 20, 20), lr=1e-2, batch=(8, 1), workers=0),
        "few steps at a high rate: shows that everything works, says nothing about the upstream",
    ),
    "sample": _blocks.own(
        "sample",
        _config(steps=200, every=(20, 50, 50), lr=1e-2, batch=(8, 1), workers=0),
        "few steps at a high rate, for a handful of real utterances",
    ),
}


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Accuracy of `split` from the speakers that s3prl wrote to `folder`, by `idNNNNN-<video>-NNNNN`."""
    truth = _labels.read_rows(folder / f"{split}_truth.txt", " ")
    predicted = _labels.read_rows(folder / f"{split}_predict.txt", " ")
    return (_labels.score(truth, predicted, lambda name: name.split("-")[0]),)


TASK = TaskSpec(
    name="sid",
    title="Speaker identification",
    s3prl_name="voxceleb1",
    aliases=("voxceleb1", "speaker-identification"),
    corpus=voxceleb1_identification.CORPUS,
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(_labels.accuracy_metric("voxceleb1/{split}-acc"),),
    selection=Selection(split="dev", metric="acc", artefact="dev-best.ckpt", s3prl_bound=0.0),
    artefacts=("dev-best.ckpt", "test_predict.txt", "test_truth.txt"),
    recipes=RECIPES,
    data_keys=("downstream_expert.datarc.max_timestep",),
    score=score,
    split_batches=True,
    crop_seconds=8.0,
    # Not every utterance is longer than a crop, but how many are is not known, so all count.
    random_share=1.0,
    random_items=True,
    pooled=True,
)
