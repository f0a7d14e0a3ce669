"""`./run_superb.sh status`: what the runs of a folder are doing."""

from __future__ import annotations

import argparse
import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from downstream_runs.engine import records
from downstream_runs.errors import UsageError

STATES = ("done", "running", "stopped")
COLUMNS = ("upstream", "task", "run", "state", "step", "left", "last number", "log")


@dataclass(frozen=True)
class Status:
    """One run. `state`: done, running or stopped. `left`: minutes to the end of training, if known."""

    folder: Path
    upstream: str
    task: str
    state: str
    step: int
    total: int | None
    left: float | None
    number: str

    def cells(self, out: Path) -> tuple[str, ...]:
        """The columns of the table."""
        run = self.folder.relative_to(out / self.upstream / self.task)
        step = f"{self.step:,}" + (f" of {self.total:,}" if self.total else "")
        left = "" if self.left is None else f"{self.left:,.0f} min"
        log = self.folder / "s3prl.log"
        return (self.upstream, self.task, str(run), self.state, step, left, self.number, str(log))


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(prog="./run_superb.sh status", description="Show the runs of a folder.")
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are (default: runs)"
    )
    out = parser.parse_args(argv).out
    if not out.is_dir():
        raise UsageError(f"{out} is no folder, so there are no runs; ./run_superb.sh UPSTREAM TASK makes one")
    print(text(list(find(out)), out))
    return 0


def find(out: Path) -> Iterator[Status]:
    """Every run below `out`, in the order of their folders."""
    # UPSTREAM/TASK/RUN, its folds, the runs of a sweep, their folds.
    depths = ("*/*/*", "*/*/*/*", "*/*/*/rates/*", "*/*/*/rates/*/*")
    for plan in sorted(path for depth in depths for path in out.glob(f"{depth}/plan.json")):
        yield of_run(plan.parent)


def text(found: Sequence[Status], out: Path) -> str:
    """The table of the runs, and how many are in each state."""
    if not found:
        return f"there is no run in {out}"
    rows = [COLUMNS, *(status.cells(out) for status in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    numbers = {state: sum(status.state == state for status in found) for state in STATES}
    total = ", ".join(f"{number} {state}" for state, number in numbers.items() if number)
    return "\n".join(line.rstrip() for line in [*lines, "", total])


def of_run(folder: Path) -> Status:
    """What is known of the run in `folder`; files that cannot be read count as absent."""
    plan = _json(folder / "plan.json")
    metrics = list(records.read(folder / records.METRICS))
    events = list(records.read(folder / records.EVENTS))
    step = max((line["step"] for line in [*metrics, *events]), default=0)
    total = plan.get("settings", {}).get("runner.total_steps")
    done = (folder / "result.json").exists()
    state = "done" if done else "running" if _is_running(folder) else "stopped"
    return Status(
        folder=folder,
        upstream=str(plan.get("upstream", "?")),
        task=str(plan.get("task", "?")),
        state=state,
        step=step,
        total=total,
        left=_left(events, total) if state == "running" and total else None,
        number=_last_number(metrics),
    )


def _is_running(folder: Path) -> bool:
    """Whether the process that took the lock is alive; of another host, it is believed to be."""
    holder = _json(folder / "lock")
    if holder.get("host") != socket.gethostname():
        return bool(holder)
    try:
        os.kill(int(holder.get("pid", -1)), 0)
    except (ProcessLookupError, ValueError, TypeError):
        return False
    except PermissionError:
        return True
    return True


def _left(events: Sequence[dict[str, Any]], total: int) -> float | None:
    """Minutes to the last step at the pace between the first and the last checkpoint of this process."""
    begun = max(
        (number for number, line in enumerate(events) if line["event"] in records.SESSION_EVENTS), default=0
    )
    saved = [line for line in events[begun:] if line["event"] == "checkpoint"]
    if len(saved) < 2 or saved[-1]["step"] <= saved[0]["step"]:
        return None
    first, last = saved[0], saved[-1]
    seconds = (datetime.fromisoformat(last["time"]) - datetime.fromisoformat(first["time"])).total_seconds()
    return seconds / (last["step"] - first["step"]) * (total - last["step"]) / 60


def _last_number(metrics: Sequence[dict[str, Any]]) -> str:
    """The newest score, or where there is none the newest value that s3prl logged."""
    for line in reversed(metrics):
        for name, score in (line.get("scores") or {}).items():
            return f"{name} {score['value']:.2f} on {line['split']} at {line['step']:,}"
    for line in reversed(metrics):
        for name, value in (line.get("scalars") or {}).items():
            return f"{name} {value:.3f} at {line['step']:,}"
    return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
