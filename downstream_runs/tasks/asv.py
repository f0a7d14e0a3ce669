"""Automatic speaker verification on VoxCeleb1: whether one speaker says two utterances."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.core.run_folder import TRIALS
from downstream_runs.core.task import MetricSpec, Score, TaskSpec
from downstream_runs.corpora import voxceleb1_verification
from downstream_runs.recipes import Recipes

if TYPE_CHECKING:
    from downstream_runs.core.results import Metric
    from downstream_runs.engine.trained_run import TrainedRun


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """EER of `split` from the trials' labels and scores that s3prl wrote to `folder`."""
    from downstream_runs.protocols.asv import equal_error_rate, read_scored

    return (equal_error_rate(read_scored(folder, split)),)


def test(run: TrainedRun) -> tuple[Metric, ...]:
    """The lowest EER of the kept checkpoints on the test trials, and the one that the dev trials choose."""
    from downstream_runs.protocols import asv

    return asv.test(run)


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
    recipes=Recipes("asv"),
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
