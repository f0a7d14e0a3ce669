"""Processes that read ahead: their order, their errors, their ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import noise
import numpy as np
import pytest
import torch

from downstream_runs import bridge
from downstream_runs.engine import RunPlan, prefetch, run
from upstream_arm.common.errors import RunFailed, UsageError

JOBS = list(range(9))


def reading_processes() -> list[Any]:
    """Those that are forked to read; joblib of another test may keep its own alive."""
    forked = multiprocessing.get_context("fork").Process
    return [process for process in multiprocessing.active_children() if isinstance(process, forked)]


def batch(job: int) -> Any:
    return np.full(4, job, dtype=np.float32), torch.full((2, 3), job), [str(job)]


def plain(found: Any) -> Any:
    wave, labels, names = found
    return wave.tolist(), labels.tolist(), names


@pytest.mark.parametrize("workers", [0, 1, 2, 20])
def test_what_is_read_is_the_same_and_in_order(workers: int) -> None:
    found = [plain(one) for one in prefetch.in_order(batch, JOBS, workers, 5)]
    assert found == [plain(batch(job)) for job in JOBS]


def test_it_is_read_in_other_processes_however_python_starts_them() -> None:
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        # A function of this function cannot be pickled.
        pids = set(prefetch.in_order(lambda job: os.getpid(), JOBS, 2, 5))
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert len(pids) == 2 and os.getpid() not in pids


@pytest.mark.slow
def test_processes_that_inherit_nothing_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "START_METHOD", "spawn")
    found = [plain(one) for one in prefetch.in_order(batch, JOBS, 2, 5)]
    assert found == [plain(batch(job)) for job in JOBS]


def test_generators_differ_among_processes_and_follow_the_seed() -> None:
    def draw(job: int) -> float:
        return float(torch.rand(()))

    first, again, other = (list(prefetch.in_order(draw, JOBS, 2, seed)) for seed in (5, 5, 6))
    assert first == again and len(set(first)) == len(JOBS) and not set(first) & set(other[1::2])


def at_five(what: Callable[[], Any]) -> Callable[[int], int]:
    def read(job: int) -> int:
        if job == 5:
            what()
        return job

    return read


def give(error: BaseException) -> Callable[[], Any]:
    def what() -> None:
        raise error

    return what


class Odd(Exception):
    """An error that cannot be made from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    ("what", "raised", "sentence"),
    [
        (
            lambda: os.kill(os.getpid(), signal.SIGKILL),
            RunFailed,
            "killed by signal 9, perhaps for want of mem",
        ),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), RunFailed, "was killed by signal 15; start the same"),
        (
            lambda: os._exit(3),
            RunFailed,
            "a process that reads batches ended with code 3; start the same comm",
        ),
        (give(SystemExit(4)), RunFailed, "ended with code 4"),
        (give(UsageError("x.wav is damaged")), UsageError, "^x.wav is damaged$"),
        (give(OSError(5, "Input/output error", "x.wav")), OSError, "Input/output error: 'x.wav'"),
        (give(KeyError("gone")), KeyError, "gone"),
        (give(Odd(1, 2)), RuntimeError, "^Odd: 1 and 2$"),
        (give(MemoryError()), RunFailed, "has too little memory; ask for a lower num_workers"),
    ],
)
def test_the_end_of_a_process_is_told_with_its_reason(
    what: Callable[[], Any], raised: type[Exception], sentence: str, workers: int
) -> None:
    begun = time.monotonic()
    got = []
    with pytest.raises(raised, match=sentence) as told:
        for one in prefetch.in_order(at_five(what), JOBS, workers, 5):
            got.append(one)
    # One that was being sent ends with its process.
    assert len(got) >= 2 and got == JOBS[: len(got)]
    assert "repair" not in str(told.value)
    assert time.monotonic() - begun < 8
    assert not reading_processes()


def test_an_error_has_the_trace_of_its_process() -> None:
    with pytest.raises(KeyError) as told:
        list(prefetch.in_order(at_five(give(KeyError("gone"))), JOBS, 1, 5))
    assert "in at_five" in str(told.value.__cause__) or "in what" in str(told.value.__cause__)


def test_what_cannot_be_sent_is_an_error_and_no_endless_wait() -> None:
    with pytest.raises(Exception, match=r"pickle|get local object"):
        list(prefetch.in_order(lambda job: lambda: job, JOBS, 1, 5))


def test_a_part_of_a_tensor_is_sent_without_the_rest_and_without_shared_memory() -> None:
    whole = torch.arange(100_000)
    assert len(prefetch._packed(whole[10:20])) < 1000
    (sent,) = prefetch.in_order(lambda job: whole[10:20], [0], 1, 5)
    assert sent.equal(whole[10:20]) and not sent.is_shared()
    (half,) = prefetch.in_order(lambda job: torch.ones(3, dtype=torch.bfloat16), [0], 1, 5)
    assert half.dtype == torch.bfloat16


def test_no_process_is_left_when_reading_stops_early() -> None:
    # So large that none is done before it is asked for what it has read.
    found = prefetch.in_order(lambda job: np.zeros(1 << 18), JOBS, 2, 5)
    next(found)
    assert len(reading_processes()) == 2
    found.close()  # type: ignore[attr-defined]
    assert not reading_processes()


def test_they_end_with_the_process_that_asks(tmp_path: Path) -> None:
    code = (
        "import sys, time; from downstream_runs.engine import prefetch\n"
        "import os; found = prefetch.in_order(lambda job: os.getpid(), range(9), 2, 5)\n"
        "print(next(found), next(found), flush=True); time.sleep(100)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert parent.stdout is not None
    readers = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in readers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_alive(pid) for pid in readers)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def test_a_run_says_that_its_loading_process_was_killed_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = noise.make_corpus(tmp_path / "data")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)))
    bridge.apply()
    from s3prl.downstream.asr.dataset import SequenceDataset

    def plan(out: str, workers: int) -> RunPlan:
        config = noise.tiny_config(total_steps=4)
        config["downstream_expert"]["datarc"]["num_workers"] = workers
        return noise.tiny_plan(corpus, tmp_path / out, config=config)

    calm, load = run(plan("calm", 0)), SequenceDataset._load_wav
    parent, calls = os.getpid(), [0]

    def load_or_die(self: Any, path: str) -> Any:
        calls[0] += 1
        if os.getpid() != parent and calls[0] > 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return load(self, path)

    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(SequenceDataset, "_load_wav", load_or_die)
            with pytest.raises(
                RunFailed, match="batches was killed by signal 9, perhaps for want of memory"
            ) as told:
                run(plan("killed", 2))
        assert "repair" not in str(told.value)
        found = run(plan("killed", 2))
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert found.metrics == calm.metrics
    assert found.artefacts == calm.artefacts
