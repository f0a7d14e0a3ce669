"""Intent classification on Fluent Speech Commands: three slots, and an utterance counts if all are right."""

from __future__ import annotations

import functools

from downstream_runs.corpora import fluent_commands
from downstream_runs.tasks import _labels, task

# Lines UTTERANCE,ACTION,OBJECT,LOCATION: the three slots are one label.
TASK = task(
    "ic",
    fluent_commands.CORPUS,
    functools.partial(_labels.score, files="{split}_{what}.csv", separator=","),
)
