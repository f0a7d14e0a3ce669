"""Runs on this machine, each in a process of its own: what breaks one does not touch the others."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from downstream_runs.engine.plan import RunPlan

POLL_SECONDS = 0.2
DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


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


def run_all(plans: Sequence[RunPlan], *, rerun: str, jobs: int, demo: bool) -> list[Outcome]:
    """Do what is missing of every run, `jobs` at a time, and tell how each ended, in the order of the plans.

    One run's failure does not stop the others. With several CUDA devices each of the jobs has one of its own.
    An interrupt stops all of them.
    """
    waiting = list(enumerate(plans))
    active: dict[int, _Active] = {}
    ended: dict[int, Outcome] = {}
    slots = list(range(jobs))
    try:
        while waiting or active:
            while waiting and slots:
                number, plan = waiting.pop(0)
                active[number] = _start(plan, rerun, demo, slots.pop(0), jobs)
                _tell(number, plans, f"started, log: {active[number].log}")
            for number, run in list(active.items()):
                if run.process.is_alive():
                    continue
                outcome = run.outcome()
                ended[number] = outcome
                slots.append(active.pop(number).slot)
                _tell(number, plans, _ending(outcome))
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        for run in active.values():
            run.process.terminate()
        for run in active.values():
            run.process.join()
        raise
    return [ended[number] for number in sorted(ended)]


@dataclass
class _Active:
    plan: RunPlan
    process: Any
    log: Path
    slot: int
    started: float

    def outcome(self) -> Outcome:
        self.process.join()
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        said = lines[-1].split("\r")[-1].strip() if lines else ""
        seconds = time.monotonic() - self.started
        return Outcome(self.plan, self.process.exitcode or 0, said, self.log, seconds)


def _start(plan: RunPlan, rerun: str, demo: bool, slot: int, jobs: int) -> _Active:
    log = plan.out / "logs" / f"{plan.upstream}-{plan.task.name}-{plan.recipe}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # Spawned: a fork would share CUDA and threads with this process.
    process = multiprocessing.get_context("spawn").Process(
        target=_child, args=(plan, rerun, demo, log, slot, jobs, os.getpid())
    )
    process.start()
    return _Active(plan, process, log, slot, time.monotonic())


def _child(plan: RunPlan, rerun: str, demo: bool, log: Path, slot: int, jobs: int, parent: int) -> None:
    _die_with(parent)
    with log.open("w", encoding="utf-8", buffering=1) as file, _into(file.fileno()):
        _use_device(slot, jobs)
        sys.exit(_one(plan, rerun, demo))


def _one(plan: RunPlan, rerun: str, demo: bool) -> int:
    from downstream_runs import engine
    from reports.errors import ReportError
    from upstream_arm.errors import UpstreamError

    try:
        if demo:
            plan.task.demo(plan.data)
        engine.run(plan, rerun=rerun)
    except (UsageError, UpstreamError, ReportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USE
    except RunFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        print(f"failed: {type(error).__name__}: {error} (a fault of this program; its log is above)")
        return FAILED
    return DONE


def _use_device(slot: int, jobs: int) -> None:
    """With several jobs, the CUDA device of this slot; the variable counts until CUDA is first used."""
    if jobs > 1:
        devices = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = devices.split(",") if devices else [str(number) for number in range(jobs)]
        os.environ["CUDA_VISIBLE_DEVICES"] = names[slot % len(names)]


def _die_with(parent: int) -> None:
    """Have this process ended when its parent is killed, so that no run goes on unseen."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(FAILED)


@contextlib.contextmanager
def _into(descriptor: int) -> Iterator[None]:
    """What this process and its libraries print goes to a file."""
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    yield
    sys.stdout.flush()
    sys.stderr.flush()


def _tell(number: int, plans: Sequence[RunPlan], what: str) -> None:
    plan = plans[number]
    print(f"[{number + 1}/{len(plans)}] {plan.upstream} {plan.task.name}: {what}", file=sys.stderr)


def _ending(outcome: Outcome) -> str:
    took = f"{outcome.seconds / 60:.1f} min"
    if outcome.good:
        return f"done in {took}: {headlines(outcome.plan)}"
    if outcome.code < 0:
        return f"killed by signal {-outcome.code} after {took}, log: {outcome.log}"
    return f"not done after {took}: {outcome.said}"


def headlines(plan: RunPlan) -> str:
    """The numbers of a finished run in a line."""
    from downstream_runs.engine.plan import run_dir
    from reports import results

    found = results.read(run_dir(plan) / "result.json")
    values: Mapping[str, str] = {
        metric.name: f"{metric.value:.2f}" if metric.unit == "percent" else f"{metric.value:.4f}"
        for metric in found.metrics
        if metric.role == "headline"
    }
    labels = f" [{', '.join(found.labels)}]" if found.labels else ""
    return ", ".join(f"{name} {value}" for name, value in values.items()) + labels
