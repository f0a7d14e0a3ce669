"""Jobs in child processes: outcomes in order, errors as they were raised, the same without processes."""

from __future__ import annotations

import gc
import os
import signal
from typing import Any

import pytest

from reports import parallel
from upstream_arm.common.errors import ReportError


def fail() -> None:
    raise ReportError("no such file")


@pytest.fixture(params=["processes", "one core"])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(parallel, "cores", lambda: 2 if request.param == "processes" else 1)
    return str(request.param)


def test_outcomes_come_in_order_and_errors_as_they_were_raised(cores: str) -> None:
    jobs: list[parallel.Job] = [lambda number=number: (number, os.getpid()) for number in range(5)]
    with parallel.started([*jobs, fail]) as waiting:
        found: list[Any] = [wait() for wait in waiting[:5]]
        assert [number for number, _ in found] == list(range(5))
        assert any(pid == os.getpid() for _, pid in found) == (cores == "one core")
        with pytest.raises(ReportError, match="no such file"):
            waiting[5]()
    with parallel.started([]) as waiting:
        assert waiting == []


def test_a_killed_process_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    with (
        parallel.started([lambda: os.kill(os.getpid(), signal.SIGKILL)]) as [wait],
        pytest.raises(ReportError, match="was killed"),
    ):
        wait()


def test_what_is_changed_meanwhile_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    parallel.load("json")
    assert os.environ["OMP_NUM_THREADS"] == "3" and "MKL_NUM_THREADS" not in os.environ
    with parallel.uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
