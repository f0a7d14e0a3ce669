"""One attempt at one run, in whatever process a launcher gives it, and how it ended."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.core import results
from downstream_runs.core.run import RunPlan, run_dir, upstream_folder
from downstream_runs.core.run_folder import LOGS, RESULT
from downstream_runs.launch import grid
from upstream_arm.common.errors import DONE, FAILED, INTERRUPTED, SuperbError, say, tell


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit code (0 done, 1 failed, 2 bad input, below 0 a signal), its log, and the last
    line of that.
    """

    plan: RunPlan
    code: int
    last: str
    log: Path
    seconds: float

    def __str__(self) -> str:
        took = f"{self.seconds / 60:.1f} min"
        if self.code == DONE:
            return f"done in {took}: {headlines(self.plan)}"
        if self.code < 0:
            return f"killed by signal {-self.code} after {took}, log: {self.log}"
        return f"not done after {took}: {self.last}"


def run(plan: RunPlan, rerun: str, with_demo: bool) -> int:
    """Do what is missing of a run; prints an error as one sentence and returns the exit code."""
    from downstream_runs import engine

    try:
        engine.run(plan, rerun=rerun, with_demo=with_demo)
    except KeyboardInterrupt:
        return say("interrupted", INTERRUPTED)
    except SuperbError as error:
        return tell(error)
    except Exception as error:
        traceback.print_exception(error)
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"  # the launcher shows the last line
        return say(f"failed: {told} (a fault of this program; its log is above)", FAILED)
    return DONE


def log_file(plan: RunPlan) -> Path:
    """Where a launched run's output goes, its folder made."""
    folder = run_dir(plan)
    name = folder.name if plan.fold is None else f"{folder.parent.name}-{plan.fold}"
    log = plan.out / LOGS / f"{upstream_folder(plan.upstream)}-{plan.task.name}-{name}.log"
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


def report(number: int, plans: Sequence[RunPlan], what: object) -> None:
    """Print a line about one of several runs."""
    print(f"[{number + 1}/{len(plans)}] {grid.name(plans[number])}: {what}", file=sys.stderr)


def headlines(plan: RunPlan) -> str:
    """The numbers of a finished run in a line."""
    result = results.read(run_dir(plan) / RESULT)
    numbers = [str(metric) for metric in result.metrics if metric.role == "headline"]
    labels = f" [{', '.join(result.labels)}]" if result.labels else ""
    return ", ".join(numbers) + labels
