"""Intent classification on Fluent Speech Commands: three slots, and an utterance counts if all are right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.core.task import Score, Selection, TaskSpec
from downstream_runs.corpora import fluent_commands
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _labels


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Accuracy of `split` from the files that s3prl wrote to `folder`: `UTTERANCE,ACTION,OBJECT,LOCATION`."""
    truth = _labels.read_rows(folder / f"{split}_truth.csv", ",")
    predicted = _labels.read_rows(folder / f"{split}_predict.csv", ",")
    return (_labels.score(truth, predicted),)


TASK = TaskSpec(
    name="ic",
    title="Intent classification",
    s3prl_name="fluent_commands",
    aliases=("intent-classification", "fluent-commands", "fluent-speech-commands", "intent"),
    corpus=fluent_commands.CORPUS,
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(_labels.accuracy_metric("fluent_commands/{split}-acc"),),
    selection=Selection(split="dev", metric="acc", artefact="dev-best.ckpt", s3prl_bound=0.0),
    artefacts=("dev-best.ckpt", "test_predict.csv", "test_truth.csv"),
    recipes=Recipes("ic"),
    score=score,
    split_batches=True,
    pooled=True,
)
