"""The two journals of a run, one JSON object a line: `events.jsonl` and `metrics.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from downstream_runs.core.run_folder import EVENTS, METRICS, RESULT
from upstream_arm.common.files import atomic_write_text
from upstream_arm.common.reading import TABLE_BYTES, read_text

# Events about a process rather than a step: they stay when the steps after a checkpoint are done again.
SESSION_EVENTS = ("start", "resume")

STORE_FULL = "features_full"
"""The event of a store of features that takes no more; told anew by each process that meets it."""


@dataclass(frozen=True)
class Journal:
    """Appends to one run's journals; every line carries the step, the time and the run's labels.

    names: what splits are called in it, where that is another name than s3prl's.
    """

    folder: Path
    labels: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)

    def event(self, name: str, step: int, **fields: Any) -> None:
        """Something that happened: start, resume, checkpoint, best, end, a retried batch."""
        self._append(EVENTS, {"event": name, "step": step, "time": _now(), **fields})

    def metric(self, split: str, step: int, values: Mapping[str, Any]) -> None:
        """Numbers of a split at a step; no time in it, so that equal runs have equal files."""
        self._append(METRICS, {"split": self.names.get(split, split), "step": step, **values})

    def rewind(self, step: int) -> None:
        """Forget what came after `step`, and any line that a killed process left unfinished."""
        _keep(self.folder / METRICS, lambda line: line["step"] <= step)
        _keep(self.folder / EVENTS, lambda line: line["step"] <= step or line.get("event") in SESSION_EVENTS)

    def _append(self, name: str, line: dict[str, Any]) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "labels": self.labels}) + "\n")


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a journal; an unfinished last line is left out. OSError if it is no regular file."""
    if not path.exists():
        return
    for text in read_text(path, TABLE_BYTES, errors="replace").splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            yield line


def moment(line: Mapping[str, Any]) -> datetime | None:
    """When an event was, if the line says so with its offset from UTC."""
    try:
        found = datetime.fromisoformat(line["time"])
    except (KeyError, TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else None


def begun(folder: Path) -> bool:
    """Whether a process has already worked on the run in `folder`."""
    return any(line.get("event") in SESSION_EVENTS for line in read(folder / EVENTS))


def diverged(folder: Path) -> bool:
    """Whether training stopped because a loss or gradient was not finite, and nothing was done since."""
    if (folder / RESULT).exists():
        return False
    return any(line.get("event") == "not_finite" for line in read(folder / EVENTS))


def seconds(folder: Path) -> float:
    """Seconds spent on the run up to now, by all the processes that worked on it.

    A killed process counts to its last event: what it did after that is done again. A span that a clock set
    back has turned round counts for nothing.
    """
    spans: list[list[datetime]] = []
    for line in read(folder / EVENTS):
        time = moment(line)
        if time is None:
            continue
        if line.get("event") in SESSION_EVENTS:
            spans.append([time, time])
        elif spans:
            spans[-1][1] = time
    if not spans:
        return 0.0
    spans[-1][1] = datetime.now(timezone.utc)
    return sum(max((end - start).total_seconds(), 0.0) for start, end in spans)


def _keep(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    if path.exists():
        atomic_write_text(path, "".join(json.dumps(line) + "\n" for line in read(path) if wanted(line)))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
