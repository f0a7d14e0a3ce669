"""One run per run directory: an advisory lock that ends with its process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from upstream_arm.common.errors import UsageError

NAME = "lock"
"""The file of a run's folder that is locked, and names the process that holds it."""

# Loading processes of a killed run share its lock until they notice that it is gone (within about 5 s).
ORPHAN_SECONDS = 15.0


@contextlib.contextmanager
def hold(folder: Path, option: str = "--out") -> Iterator[None]:
    """Hold the lock of `folder`, which `option` named; UsageError names the process and host that has it."""
    with (folder / NAME).open("a+", encoding="utf-8") as file:
        _take(file, folder, option)
        file.seek(0)
        file.truncate()
        start = datetime.now(timezone.utc).isoformat(timespec="seconds")
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "start": start}, file)
        file.flush()
        try:
            yield
        finally:
            # The number of a process that ended may be given to another, which `status` would take for it.
            file.truncate(0)


def _take(file: IO[str], folder: Path, option: str) -> None:
    deadline = time.monotonic() + ORPHAN_SECONDS
    while True:
        if _is_taken(file):
            return
        holder = _holder(file)
        if is_dead(holder) and time.monotonic() < deadline:
            time.sleep(0.2)
            continue
        who = f"process {holder.get('pid', '?')} on host {holder.get('host', '?')}"
        raise UsageError(
            f"{folder} is in use by {who} since {holder.get('start', '?')}; wait for it to end, stop it, "
            f"or give another {option}"
        )


def _is_taken(file: IO[str]) -> bool:
    """Whether the lock could be had: it is this process's now, until `file` is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def hold_if_free(folder: Path) -> Iterator[bool]:
    """Hold the lock of `folder` and yield True (without a lock file too), or False where a process has it."""
    try:
        file = (folder / NAME).open("r+", encoding="utf-8")
    except OSError:
        yield True
        return
    with file:
        yield _is_taken(file)


def _holder(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    try:
        content = json.load(file)
    except (ValueError, RecursionError):
        content = None
    return content if isinstance(content, dict) else {}


def is_dead(holder: dict[str, Any]) -> bool:
    """True if the holder, as the lock file has it, ran on this host and its process is gone."""
    pid = holder.get("pid")
    if holder.get("host") != socket.gethostname():
        return False
    if not isinstance(pid, int) or pid < 1:
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
