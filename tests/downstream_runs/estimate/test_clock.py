"""Seconds of calls on a busy machine, and what is said of it."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("torch")
import torch

from downstream_runs.estimate.clock import Busy, Clock


def test_time_without_a_core_does_not_count_on_a_cpu() -> None:
    clock = Clock(torch.device("cpu"))
    began = time.perf_counter()
    seconds = clock.seconds(lambda: time.sleep(0.2))  # as long as others have the core
    assert seconds < 0.1 < time.perf_counter() - began
    busy = clock.busy()
    assert busy.share is not None and busy.share < 0.5
    assert "its calls had a core for" in str(busy.doubt())


@pytest.mark.parametrize(
    ("busy", "doubt"),
    [
        (Busy(0.1, 2, 2, 0.99), None),
        (Busy(0.9, 2, 1, 0.99), None),
        (Busy(None, 2, 2, 0.99), None),
        (Busy(0.1, 2, 2, 0.61), "its calls had a core for 61% of their time"),
        (Busy(1.5, 2, 2, 0.99), "other programs wanted 1.5 of 2 cores"),
        (Busy(15.0, 16, 8, None), "other programs wanted 15.0 of 16 cores"),
        (Busy(8.0, 16, 8, None), None),
    ],
)
def test_doubt(busy: Busy, doubt: str | None) -> None:
    assert busy.doubt() == doubt


def test_what_is_said() -> None:
    assert Busy(2.4, 2, 1, 0.612).words() == (
        "load average 2.4 before it on 2 cores; measured calls took 61% of their wall time in CPU time, from "
        "which the hours are"
    )
    assert Busy(None, 16, 8, None).words() == "unknown load on 16 cores; hours are from wall time"
