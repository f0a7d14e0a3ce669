"""Speaker identification on VoxCeleb1: which of 1,251 speakers says an utterance."""

from __future__ import annotations

import functools

from downstream_runs.corpora import voxceleb1
from downstream_runs.tasks import _labels, task


def _speaker(name: str) -> str:
    """The speaker in a name such as idNNNNN-VIDEO-NNNNN."""
    return name.split("-")[0]


TASK = task("sid", voxceleb1.CORPUS, functools.partial(_labels.score, group=_speaker))
