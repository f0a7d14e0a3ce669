"""Speaker identification on VoxCeleb1: which of 1,251 speakers says an utterance."""

from __future__ import annotations

import functools

from downstream_runs.core.task import Cost, TaskSpec
from downstream_runs.corpora import voxceleb1_identification
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _labels


def _speaker(name: str) -> str:
    """The speaker in a name such as idNNNNN-VIDEO-NNNNN."""
    return name.split("-")[0]


TASK = TaskSpec(
    name="sid",
    title="Speaker identification",
    s3prl_name="voxceleb1",
    aliases=("voxceleb1", "speaker-identification"),
    corpus=voxceleb1_identification.CORPUS,
    recipes=Recipes("sid"),
    cost=Cost(hours="30-50"),
    metrics=(_labels.accuracy_metric("voxceleb1/{split}-acc"),),
    selection=_labels.BEST_ON_DEV,
    artefacts=("dev-best.ckpt", "test_predict.txt", "test_truth.txt"),
    submitted={"test_predict.txt": "sid_public/predict.txt"},
    data_keys=("downstream_expert.datarc.max_timestep",),
    score=functools.partial(_labels.score, group=_speaker),
    split_batches=True,
    random_items=True,
    random_share=1.0,  # not every utterance is longer than a crop, but how many are is not known: all count
    crop_seconds=8.0,
    pooled=True,
)
