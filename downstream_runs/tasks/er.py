"""Emotion recognition on IEMOCAP: four classes, the mean accuracy of five folds, each a session held out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.core.task import Score
from downstream_runs.corpora import iemocap
from downstream_runs.tasks import _labels, task
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


TASK = task("er", iemocap.CORPUS, score, folds_of=iemocap.folds_of)
