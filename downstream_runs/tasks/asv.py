"""Automatic speaker verification on VoxCeleb1: whether one speaker says two utterances."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.core.run_folder import TRIALS
from downstream_runs.core.task import Cost, MetricSpec, Score, TaskSpec
from downstream_runs.corpora import voxceleb1_verification
from downstream_runs.protocols import asv
from downstream_runs.recipes import Recipes


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """EER of `split` from the trials' labels and scores that s3prl wrote to `folder`."""
    return (asv.equal_error_rate(asv.read_scored(folder, split)),)


TASK = TaskSpec(
    name="asv",
    title="Automatic speaker verification",
    s3prl_name="sv_voxceleb1",
    aliases=("sv", "sv-voxceleb1", "speaker-verification"),
    corpus=voxceleb1_verification.CORPUS,
    recipes=Recipes("asv"),
    cost=Cost(hours="36-48", run_gb=0.5),
    metrics=(MetricSpec("eer", "equal error rate", "percent", "lower", "sv-voxceleb1/{split}-EER", 100.0),),
    artefacts=("test_predict.txt", "report.txt", TRIALS),
    submitted={"test_predict.txt": "sv_public/predict.txt"},
    data_keys=("downstream_expert.datarc.vad_config.min_sec", "downstream_expert.datarc.max_timestep"),
    kept_checkpoints=10,
    score=score,
    test=asv.test,
    split_batches=True,
    random_items=True,
    random_share=1.0,  # not every utterance is longer than a crop, but how many are is not known: all count
    crop_seconds=8.0,
)
