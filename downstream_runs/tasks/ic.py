"""Intent classification on Fluent Speech Commands: three slots, and an utterance counts if all are right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.core.task import Score, Selection, TaskSpec
from downstream_runs.corpora import fluent_commands
from downstream_runs.tasks import _labels

RECIPES = _labels.recipes(
    superb={
        "steps": 200_000,
        "every": (100, 5000, 250),
        "lr": 1e-4,
        "datarc": {"num_workers": 12, "train_batch_size": 32, "eval_batch_size": 32},
    },
    warmup=1000,
    demo={
        "steps": 300,
        "every": (10, 100, 50),
        "lr": 5e-3,
        "datarc": {"num_workers": 0, "train_batch_size": 12, "eval_batch_size": 12},
    },
    sample={
        "steps": 300,
        "every": (10, 50, 50),
        "lr": 1e-3,
        "datarc": {"num_workers": 0, "train_batch_size": 20, "eval_batch_size": 20},
    },
    source="s3prl 0.4.18, downstream/fluent_commands/config.yaml",
)


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
    recipes=RECIPES,
    score=score,
    split_batches=True,
    pooled=True,
)
