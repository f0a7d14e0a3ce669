"""The synthetic corpora of `--demo`."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TYPE_CHECKING

from upstream_arm.common.errors import UsageError

if TYPE_CHECKING:
    from downstream_runs.core.task import TaskSpec


def make(task: TaskSpec, data: Path) -> None:
    """Make a task's synthetic corpus; tasks share corpora, so one process at a time.

    UsageError where it cannot be written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        with (data / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            task.demo(data)
    except OSError as error:
        raise UsageError(
            f"the demo's corpus cannot be made in {data.absolute()} ({error.strerror or error}): work in a "
            "folder that can be written, with 1 GB of room, or give --out one"
        ) from error
