"""Emotion recognition on IEMOCAP: four classes, the mean accuracy of five folds, each a session held out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.core.task import Cost, Score, TaskSpec
from downstream_runs.corpora import iemocap
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _labels
from upstream_arm.common.errors import RunFailed


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Accuracy of `split` from the files of the one fold that s3prl wrote to `folder`."""
    folds = [fold for fold in iemocap.FOLDS if (folder / f"{split}_{fold}_predict.txt").is_file()]
    if len(folds) != 1:
        raise RunFailed(
            f"{folder} has {split} predictions of {' and '.join(folds) or 'no fold'}, of one fold were "
            "expected; start the run again with --rerun always"
        )
    return _labels.score(folder, f"{split}_{folds[0]}", scalars)


TASK = TaskSpec(
    name="er",
    title="Emotion recognition",
    s3prl_name="emotion",
    aliases=("emotion", "emotion-recognition", "iemocap"),
    corpus=iemocap.CORPUS,
    recipes=Recipes("er"),
    cost=Cost(hours="15-25"),
    metrics=(_labels.accuracy_metric("emotion-{fold}/{split}-acc"),),
    selection=_labels.BEST_ON_DEV,
    artefacts=("dev-best.ckpt", "test_{fold}_predict.txt", "test_{fold}_truth.txt"),
    submitted={"test_{fold}_predict.txt": "er_{fold}_public/predict.txt"},
    folds=iemocap.FOLDS,
    fold_key="downstream_expert.datarc.test_fold",
    folds_of=iemocap.folds_of,
    data_keys=("downstream_expert.datarc.valid_ratio",),
    score=score,
    split_batches=True,
    pooled=True,
)
