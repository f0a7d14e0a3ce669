"""Automatic speaker verification on VoxCeleb1: whether one speaker says two utterances."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.run_folder import TRIALS
from downstream_runs.core.task import MetricSpec, Recipe, Score, TaskSpec
from downstream_runs.corpora import voxceleb1_verification
from downstream_runs.tasks import _blocks

if TYPE_CHECKING:
    from downstream_runs.core.results import Metric
    from downstream_runs.engine.bench import Bench


def _config(
    *,
    steps: int,
    every: tuple[int, int],
    lr: float,
    batch: tuple[int, int],
    head: tuple[int, int] = (512, 1500),
    workers: int,
    warmup: int | None = None,
) -> dict[str, Any]:
    """s3prl's blocks; `every` is log and checkpoint steps, `batch` size and accumulation, `head` the widths.

    Nothing is evaluated during training: the checkpoints that are kept are, once it is over.
    """
    log, save = every
    size, accumulation = batch
    width, aggregated = head
    expert = {
        "datarc": {
            "vad_config": {"min_sec": 32_000},
            "max_timestep": 128_000,
            "train_batch_size": size,
            "eval_batch_size": 1,
            "num_workers": workers,
        },
        "modelrc": {
            "module": "XVector",
            "input_dim": width,
            "agg_module": "SP",
            "utter_module": "UtteranceExtractor",
            "module_config": {"XVector": {"agg_dim": aggregated, "dropout_p": 0.0, "batch_norm": False}},
            "ObjectiveLoss": "AMSoftmaxLoss",
            "LossConfig": {"AMSoftmaxLoss": {"s": 30.0, "m": 0.4}},
        },
    }
    return _blocks.config(
        steps=steps,
        every=(log, save, save),
        lr=lr,
        accumulate=accumulation,
        clip=1e3,
        optimizer="AdamW",
        evaluated=(),
        expert=expert,
        warmup=warmup,
    )


_SUPERB: dict[str, Any] = {
    "steps": 200_000,
    "every": (500, 10_000),
    "lr": 1e-4,
    "batch": (10, 5),
    "workers": 8,
}

RECIPES = {
    "superb": Recipe(
        name="superb",
        config=_config(**_SUPERB),
        note="s3prl's defaults",
        source="s3prl 0.4.18, downstream/sv_voxceleb1/configs/amsoftmax.yaml",
    ),
    "paper": Recipe(
        name="paper",
        config=_config(**_SUPERB, warmup=6000),
        note="as superb, with the learning-rate schedule switched on: linear to the peak at 6000, then to 0",
        source=_blocks.PAPER_SOURCE,
    ),
    "demo": _blocks.own(
        "demo",
        _config(steps=50, every=(5, 5), lr=1e-3, batch=(8, 1), head=(64, 128), workers=0),
        "a small head and few steps: shows that everything works, says nothing about the upstream",
    ),
    "sample": _blocks.own(
        "sample",
        _config(steps=200, every=(20, 20), lr=1e-3, batch=(8, 1), head=(64, 128), workers=0),
        "a small head, for a handful of real utterances",
    ),
}


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """EER of `split` from the trials' labels and scores that s3prl wrote to `folder`."""
    from downstream_runs.protocols.asv import equal_error_rate, read_scored

    return (equal_error_rate(read_scored(folder, split)),)


def test(bench: Bench) -> tuple[Metric, ...]:
    """The lowest EER of the kept checkpoints on the test trials, and the one that the dev trials choose."""
    from downstream_runs.protocols import asv

    return asv.test(bench)


TASK = TaskSpec(
    name="asv",
    title="Automatic speaker verification",
    s3prl_name="sv_voxceleb1",
    aliases=("sv", "sv-voxceleb1", "speaker-verification"),
    corpus=voxceleb1_verification.CORPUS,
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(
        MetricSpec("eer", "equal error rate", "percent", "lower", "sv-voxceleb1/{split}-EER", factor=100.0),
    ),
    selection=None,
    artefacts=("test_predict.txt", "report.txt", TRIALS),
    recipes=RECIPES,
    data_keys=("downstream_expert.datarc.vad_config.min_sec", "downstream_expert.datarc.max_timestep"),
    score=score,
    split_batches=True,
    crop_seconds=8.0,
    # Not every utterance is longer than a crop, but how many are is not known, so all count.
    random_share=1.0,
    random_items=True,
    kept_checkpoints=10,
    test=test,
)
