"""Drawing on all cores: matplotlib takes a quarter of a second a figure, most of a report's time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

from reports.figures.style import Picture

Job = Callable[[], list[Picture]]

# What the children find when they are forked: jobs need not be pickled, only their numbers.
_jobs: list[Job] = []


def run(jobs: Sequence[Job]) -> list[Picture]:
    """The pictures of all jobs in their order; in child processes where the system can fork and has cores."""
    workers = min(len(jobs), _cores())
    if workers < 2 or "fork" not in multiprocessing.get_all_start_methods():
        return [picture for job in jobs for picture in job()]
    _jobs[:] = jobs
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
            return [picture for found in pool.map(_run, range(len(jobs))) for picture in found]
    finally:
        _jobs.clear()


def _run(number: int) -> list[Picture]:
    return _jobs[number]()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
