"""Small computations at once: in order, on one thread each, and everything as it was afterwards."""

from __future__ import annotations

import threading

import pytest
import torch

from downstream_runs.protocols.layers import one_each


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_from_several_threads() -> None:
    meeting = threading.Barrier(2, timeout=20)

    def work(number: int) -> tuple[int, int, str]:
        if number < 2:
            meeting.wait()  # passes only if two are computed at once
        return number, torch.get_num_threads(), threading.current_thread().name

    with one_each(torch.device("cpu"), stateless=True) as many:
        found = list(many(work, range(6)))
    assert [number for number, _, _ in found] == list(range(6))
    assert {threads for _, threads, _ in found} == {1}
    assert threading.current_thread().name not in {name for _, _, name in found}
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("device", "stateless"), [("cpu", False), ("cuda", True)])
def test_one_after_another_where_that_is_needed(device: str, stateless: bool) -> None:
    with one_each(torch.device(device), stateless) as many:
        assert many is map
        assert torch.get_num_threads() == 2


def test_an_error_ends_what_waits() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"), one_each(torch.device("cpu"), stateless=True) as many:
        list(many(work, range(1000)))
    assert torch.get_num_threads() == 2
