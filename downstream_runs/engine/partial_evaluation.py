"""A long evaluation, kept while it goes on: after a kill it continues with the next batch.

What is kept stays after the evaluation, until the run has a checkpoint or result that has its numbers: at one
step a task may evaluate two splits, and of several test splits no number is written before the last.
"""

from __future__ import annotations

import contextlib
import pickle
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from downstream_runs.core.generators import random_states
from downstream_runs.engine.checkpoints import read_tensors, write_tensors
from upstream_arm.common.errors import RunFailed

EVERY_SECONDS = 60.0
"""A shorter evaluation writes nothing."""


@dataclass
class PartialEvaluation:
    """The file of an evaluation of `total` batches: what s3prl's expert recorded of those until now.

    about: gives all that decides these records; what was kept of another evaluation is not taken.
    """

    path: Path
    total: int
    about: Callable[[], Mapping[str, Any]]
    _kept: float = field(default_factory=time.monotonic)

    def read(self) -> tuple[int, dict[str, Any], Mapping[str, Any] | None]:
        """How many batches are done, their records, and the random states after them: None after none."""
        with contextlib.suppress(OSError, RunFailed, pickle.UnpicklingError, KeyError):
            kept = read_tensors(self.path)
            if kept["about"] == self.about():
                return kept["batches"], defaultdict(list, kept["records"]), kept["random_states"]
        return 0, defaultdict(list), None

    def keep(self, batches: int, records: Mapping[str, Any]) -> None:
        """Write the records of the first `batches` once a minute, and those of all if there is a file."""
        over = batches == self.total and self.path.exists()
        if not over and time.monotonic() - self._kept < EVERY_SECONDS:
            return
        self._kept = time.monotonic()
        content = {
            "about": self.about(),
            "batches": batches,
            "records": plain(records),
            "random_states": random_states(),
        }
        with contextlib.suppress(OSError):  # the evaluation does not depend on it
            write_tensors(self.path, content)


def plain(records: Mapping[str, Any]) -> dict[str, Any]:
    """Records in types that torch.load(weights_only=True) reads: numpy's scalars and tensors as numbers."""
    return {
        key: [item.item() if hasattr(item, "item") else item for item in items]
        if isinstance(items, list)
        else items
        for key, items in records.items()
    }
