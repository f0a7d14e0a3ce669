"""Work on all cores: most of a report's time goes into drawing and resampling, which wait for nothing."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from upstream_arm.common.errors import ReportError
from upstream_arm.common.processes import cores

Job = Callable[[], Any]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# What the children find when they are forked: jobs need not be pickled, only their numbers.
_jobs: list[Job] = []


@contextmanager
def started(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Begin all jobs in child processes, in their order; yields for each a call that waits for its outcome.

    The children have all that was imported and made before. Where the system cannot fork or has one core, a
    job is done when it is waited for; so too on macOS, whose own libraries may stop a child that only forked.
    Leaving the block early drops what has not begun.
    """
    forks = sys.platform != "darwin" and "fork" in multiprocessing.get_all_start_methods()
    if not jobs or cores() < 2 or not forks:
        yield list(jobs)
        return
    _jobs[:] = jobs
    pool = ProcessPoolExecutor(min(len(jobs), cores()), multiprocessing.get_context("fork"))
    try:
        futures = [pool.submit(_run, number) for number in range(len(jobs))]
        _jobs.clear()
        yield [_waiting(future) for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)


def _run(number: int) -> Any:
    return _jobs[number]()


def _waiting(future: Future[Any]) -> Job:
    def outcome() -> Any:
        try:
            return future.result()
        except BrokenProcessPool:
            raise ReportError(
                "a process of the report was killed, perhaps for want of memory; nothing was written: free "
                "some and run the same command again"
            ) from None

    return outcome


def load(*modules: str) -> None:
    """Import these, numpy's matrix products on one thread: they are small, and threads would only wait."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        for name in modules:
            importlib.import_module(name)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's search for cycles, which would look through all results again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
