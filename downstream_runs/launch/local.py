"""Runs on this machine, each in a process of its own: what breaks one does not touch the others."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.run import RunPlan
from downstream_runs.core.run_folder import CACHE
from downstream_runs.launch import worker
from upstream_arm import listings
from upstream_arm.common import devices, processes

POLL_SECONDS = 0.2

Words = tuple[str, ...]
"""The accelerators of a run, in the words of CUDA_VISIBLE_DEVICES or its like; none: those it sees anyway."""


def run_all(plans: Sequence[RunPlan], *, rerun: str, demo: bool, jobs: int | None) -> list[worker.Outcome]:
    """Do what is missing of every run, `jobs` (or 1) at a time, and tell how each ended, in their order.

    One run's failure does not stop the others. Where runs take accelerators by themselves each of the jobs
    has its own, and there are no more jobs than devices for them. An interrupt stops all of them.
    """
    waiting = list(enumerate(plans))
    active: dict[int, _Active] = {}
    ended: dict[int, worker.Outcome] = {}
    several = min(jobs or 1, len(plans))
    slots: list[Words] = _places(plans[0], several) if several > 1 else [()]
    seen = _hand_on(plans[0]) if plans else None
    try:
        while waiting or active:
            while waiting and slots:
                number, plan = waiting.pop(0)
                active[number] = _start(plan, rerun, demo, slots.pop(0), seen)
                worker.report(number, plans, f"started, log: {active[number].log}")
            for number, run in list(active.items()):
                if run.process.is_alive():
                    continue
                run.process.join()
                code, seconds = run.process.exitcode or 0, time.monotonic() - run.started
                last = worker.last_line(run.log)
                ended[number] = worker.Outcome(plans[number], code, last, run.log, seconds)
                slots.append(active.pop(number).words)
                worker.report(number, plans, ended[number])
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
    """A run that has been started."""

    process: Any
    log: Path
    words: Words
    started: float


def _hand_on(plan: RunPlan) -> Path | None:
    """The file of what this command saw of the corpora, which none of its runs need look at again."""
    memory = listings.current()
    if memory is None or not memory:
        return None
    file = plan.out / CACHE / f"seen-{hashlib.sha256(os.fsencode(plan.data)).hexdigest()[:12]}.json"
    memory.save(file)
    memory.forget()
    return file


def _start(plan: RunPlan, rerun: str, demo: bool, words: Words, seen: Path | None) -> _Active:
    log = worker.log_file(plan)
    # Spawned: a fork would share accelerators and threads with this process.
    process = multiprocessing.get_context("spawn").Process(
        target=_child, args=(plan, rerun, demo, log, words, seen, os.getpid())
    )
    process.start()
    return _Active(process, log, words, time.monotonic())


def _child(
    plan: RunPlan, rerun: str, demo: bool, log: Path, words: Words, seen: Path | None, parent: int
) -> None:
    processes.die_with(parent, signal.SIGTERM)
    with worker.into(log, "w"), listings.remembering(seen):
        if words:  # what counts is read when a device is first used; another kind's changes nothing
            os.environ.update(dict.fromkeys(devices.VISIBLE.values(), ",".join(words)))
        sys.exit(worker.run(plan, rerun, demo))


def _places(plan: RunPlan, jobs: int) -> list[Words]:
    """What each of the jobs has for its runs, of which `plan` is one, and a line that says so."""
    kind = devices.accelerator() if plan.device in ("auto", *devices.KINDS) else None
    names = _words(kind) if kind is not None and plan.device in ("auto", kind) else ()
    if not names:
        where = "the CPU" if plan.device in ("auto", "cpu") else plan.device
        print(f"{jobs} runs at a time, all on {where}", file=sys.stderr)
        return [()] * jobs
    count = max(min(jobs, len(names) // plan.devices), 1)
    places = [names[plan.devices * number : plan.devices * (number + 1)] for number in range(count)]
    fewer = ""
    if count < jobs:
        fewer = f" and not {jobs}, for there are {len(names)} in all and a run takes {plan.devices}"
        fewer += f" (with --device {kind}:0 all share that one)" if plan.devices == 1 else ""
    each = " | ".join(",".join(words) for words in places)
    print(f"{count} at a time, on the {kind} devices {each}{fewer}", file=sys.stderr)
    return places


def _words(kind: str) -> Words:
    """All of that kind that torch sees."""
    count = devices.count(kind)
    given = os.environ.get(devices.VISIBLE.get(kind, ""))
    names = [name.strip() for name in given.split(",")] if given else [str(number) for number in range(count)]
    return tuple(names[:count])
