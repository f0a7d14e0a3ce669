"""Emotion recognition on IEMOCAP: four classes, the mean accuracy of five folds, each a session held out."""

from __future__ import annotations

from downstream_runs.corpora import iemocap
from downstream_runs.tasks import _labels, task

TASK = task("er", iemocap.CORPUS, _labels.score_fold, folds_of=iemocap.folds_of)
