"""Intent classification on Fluent Speech Commands: three slots, and an utterance counts if all are right."""

from __future__ import annotations

import functools

from downstream_runs.core.task import Cost, TaskSpec
from downstream_runs.corpora import fluent_commands
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _labels

TASK = TaskSpec(
    name="ic",
    title="Intent classification",
    s3prl_name="fluent_commands",
    aliases=("intent-classification", "fluent-commands", "fluent-speech-commands", "intent"),
    corpus=fluent_commands.CORPUS,
    recipes=Recipes("ic"),
    cost=Cost(hours="4"),
    metrics=(_labels.accuracy_metric("fluent_commands/{split}-acc"),),
    selection=_labels.BEST_ON_DEV,
    artefacts=("dev-best.ckpt", "test_predict.csv", "test_truth.csv"),
    submitted={"test_predict.csv": "ic_public/predict.csv"},
    # Lines UTTERANCE,ACTION,OBJECT,LOCATION: the three slots are one label.
    score=functools.partial(_labels.score, files="{split}_{what}.csv", separator=","),
    split_batches=True,
    pooled=True,
)
