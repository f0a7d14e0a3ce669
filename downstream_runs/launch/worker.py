"""One attempt at one run, in whatever process a launcher gives it, and how it ended."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.core import demo, outcome
from downstream_runs.core.run_folder import LOGS, RESULT
from downstream_runs.launch import grid
from upstream_arm.common.errors import DONE, FAILED, INTERRUPTED, SuperbError, say, tell

if TYPE_CHECKING:
    from downstream_runs.core.run import RunPlan


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


def run(plan: RunPlan, rerun: str, with_demo: bool) -> int:
    """Do what is missing of a run; prints an error as one sentence and returns the exit code."""
    from downstream_runs import engine

    try:
        with outcome.recorded(engine.run_dir(plan)):
            if with_demo:
                demo.make(plan.task, plan.data)
            engine.run(plan, rerun=rerun)
    except (Exception, KeyboardInterrupt) as error:
        return _tell_error(error)
    return DONE


def _tell_error(error: BaseException) -> int:
    """Print an error as one sentence; returns the exit code that it stands for."""

    if isinstance(error, KeyboardInterrupt):
        return say("interrupted", INTERRUPTED)
    if isinstance(error, SuperbError):
        return tell(error)
    traceback.print_exception(error)
    told = " ".join(str(error).split())  # in one line, since the launcher shows the last
    return say(f"failed: {type(error).__name__}: {told} (a fault of this program; its log is above)", FAILED)


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


def report(number: int, plans: Sequence[RunPlan], what: str) -> None:
    """A line about one of several runs."""
    print(f"[{number + 1}/{len(plans)}] {grid.name(plans[number])}: {what}", file=sys.stderr)


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
