"""Runs on this machine, each in a process of its own: what breaks one does not touch the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs import processes
from downstream_runs.launch import attempt

if TYPE_CHECKING:
    from downstream_runs.engine.plan import RunPlan

POLL_SECONDS = 0.2


def run_all(plans: Sequence[RunPlan], *, rerun: str, jobs: int, demo: bool) -> list[attempt.Outcome]:
    """Do what is missing of every run, `jobs` at a time, and tell how each ended, in the order of the plans.

    One run's failure does not stop the others. With several CUDA devices each of the jobs has its own.
    An interrupt stops all of them.
    """
    waiting = list(enumerate(plans))
    active: dict[int, _Active] = {}
    ended: dict[int, attempt.Outcome] = {}
    slots = list(range(jobs))
    try:
        while waiting or active:
            while waiting and slots:
                number, plan = waiting.pop(0)
                active[number] = _start(plan, rerun, demo, slots.pop(0), jobs)
                attempt.tell(number, plans, f"started, log: {active[number].log}")
            for number, run in list(active.items()):
                if run.process.is_alive():
                    continue
                outcome = run.outcome()
                ended[number] = outcome
                slots.append(active.pop(number).slot)
                attempt.tell(number, plans, attempt.ending(outcome))
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

    def outcome(self) -> attempt.Outcome:
        self.process.join()
        seconds = time.monotonic() - self.started
        return attempt.Outcome(
            self.plan, self.process.exitcode or 0, attempt.last_line(self.log), self.log, seconds
        )


def _start(plan: RunPlan, rerun: str, demo: bool, slot: int, jobs: int) -> _Active:
    log = attempt.log_file(plan)
    # Spawned: a fork would share CUDA and threads with this process.
    process = multiprocessing.get_context("spawn").Process(
        target=_child, args=(plan, rerun, demo, log, slot, jobs, os.getpid())
    )
    process.start()
    return _Active(plan, process, log, slot, time.monotonic())


def _child(plan: RunPlan, rerun: str, demo: bool, log: Path, slot: int, jobs: int, parent: int) -> None:
    processes.die_with(parent, signal.SIGTERM)
    with attempt.into(log, "w"):
        _use_devices(slot, jobs, plan.devices)
        sys.exit(attempt.run(plan, rerun, demo))


def _use_devices(slot: int, jobs: int, each: int) -> None:
    """With several jobs, the CUDA devices of this slot; the variable counts until CUDA is first used."""
    if jobs > 1:
        given = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = given.split(",") if given else [str(number) for number in range(jobs * each)]
        own = [names[(slot * each + number) % len(names)] for number in range(each)]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(dict.fromkeys(own))
