"""Speaker identification on VoxCeleb1: which of 1,251 speakers says an utterance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.core.task import Score, Selection, TaskSpec
from downstream_runs.corpora import voxceleb1_identification
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _labels


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
    recipes=Recipes("sid"),
    data_keys=("downstream_expert.datarc.max_timestep",),
    score=score,
    split_batches=True,
    crop_seconds=8.0,
    # Not every utterance is longer than a crop, but how many are is not known, so all count.
    random_share=1.0,
    random_items=True,
    pooled=True,
)
