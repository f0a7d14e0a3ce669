"""One attempt at one run, in whatever process a launcher gives it, and how it ended."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.core.run_folder import LOGS, OUTCOME, RESULT
from downstream_runs.launch import expand
from upstream_arm.common.errors import RunFailed, UsageError
from upstream_arm.common.files import atomic_write_text

if TYPE_CHECKING:
    from downstream_runs.core.run import RunPlan
    from downstream_runs.core.task import TaskSpec

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit code (0 done, 1 failed, 2 bad input, below 0 a signal) and its last line."""

    plan: RunPlan
    code: int
    said: str
    log: Path
    seconds: float

    @property
    def good(self) -> bool:
        """Whether it has a result."""
        return self.code == DONE


def run(plan: RunPlan, rerun: str, demo: bool) -> int:
    """Do what is missing of a run; prints an error as one sentence and returns the exit code."""
    from downstream_runs import engine

    try:
        with recorded(plan):
            if demo:
                make_demo(plan.task, plan.data)
            engine.run(plan, rerun=rerun)
    except (Exception, KeyboardInterrupt) as error:
        return _tell_error(error)
    return DONE


def _tell_error(error: BaseException) -> int:
    """Print an error as one sentence; returns the exit code that it stands for."""
    from upstream_arm.common.errors import ReportError, UpstreamError

    if isinstance(error, (UsageError, UpstreamError, ReportError)):
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USE
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    if isinstance(error, RunFailed):
        print(f"failed: {error}", file=sys.stderr)
    else:
        traceback.print_exception(error)
        said = " ".join(str(error).split())  # in one line, since the launcher shows the last
        print(f"failed: {type(error).__name__}: {said} (a fault of this program; its log is above)")
    return FAILED


@contextlib.contextmanager
def recorded(plan: RunPlan) -> Iterator[None]:
    """Leave the reason of a failure in the run's folder, where `status` finds it until the next attempt."""
    _forget(plan)
    try:
        yield
    except Exception as error:
        _note(plan, error)
        raise


def _forget(plan: RunPlan) -> None:
    with contextlib.suppress(OSError):
        _outcome(plan).unlink(missing_ok=True)


def _note(plan: RunPlan, error: Exception) -> None:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    # The run's own error is what must be told, also where its folder cannot be written.
    with contextlib.suppress(OSError):
        atomic_write_text(_outcome(plan), json.dumps({"said": str(error), "time": now}) + "\n")


def _outcome(plan: RunPlan) -> Path:
    from downstream_runs.core.run import run_dir

    return run_dir(plan) / OUTCOME


def make_demo(task: TaskSpec, data: Path) -> None:
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


def log_file(plan: RunPlan) -> Path:
    """Where a launched run's output goes, its folder made."""
    from downstream_runs.core.run import run_dir

    folder = run_dir(plan)
    run = folder.name if plan.fold is None else f"{folder.parent.name}-{plan.fold}"
    log = plan.out / LOGS / f"{re.sub(r'[^A-Za-z0-9._-]', '_', plan.upstream)}-{plan.task.name}-{run}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


@contextlib.contextmanager
def into(log: Path, mode: str) -> Iterator[None]:
    """What this process and its libraries print goes to a file, opened with `mode`."""
    before = {stream: os.dup(stream) for stream in (1, 2)}
    with log.open(mode, encoding="utf-8", buffering=1) as file:
        for stream in before:
            os.dup2(file.fileno(), stream)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, copy in before.items():
                os.dup2(copy, stream)
                os.close(copy)


def last_line(log: Path) -> str:
    """What a log says last; progress bars rewrite their line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].split("\r")[-1].strip() if lines else ""


def tell(number: int, plans: Sequence[RunPlan], what: str) -> None:
    """A line about one of several runs."""
    print(f"[{number + 1}/{len(plans)}] {expand.name(plans[number])}: {what}", file=sys.stderr)


def ending(outcome: Outcome) -> str:
    """How a run ended, in words."""
    took = f"{outcome.seconds / 60:.1f} min"
    if outcome.good:
        return f"done in {took}: {headlines(outcome.plan)}"
    if outcome.code < 0:
        return f"killed by signal {-outcome.code} after {took}, log: {outcome.log}"
    return f"not done after {took}: {outcome.said}"


def headlines(plan: RunPlan) -> str:
    """The numbers of a finished run in a line."""
    from downstream_runs.core import results
    from downstream_runs.core.run import run_dir

    found = results.read(run_dir(plan) / RESULT)
    values: Mapping[str, str] = {
        metric.name: f"{metric.value:.2f}" if metric.unit == "percent" else f"{metric.value:.4f}"
        for metric in found.metrics
        if metric.role == "headline"
    }
    labels = f" [{', '.join(found.labels)}]" if found.labels else ""
    return ", ".join(f"{name} {value}" for name, value in values.items()) + labels
