"""All ten tasks on a pretend accelerator: the CPU's numbers, and what steps and batches cost there."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import rehearsal
import rehearsed_runs
import short_runs
import toy
from rehearsed_runs import ours

from downstream_runs import tasks
from downstream_runs.core.run import RunPlan

PLACES = ("features/extractor.py", "engine/components.py", "bridge/")
"""Whose copies to the device are those of waveforms, stored features and what s3prl's heads are given."""


class Head(NamedTuple):
    """What s3prl's head does by itself in a training step: copies from the host, to it, and single reads.

    blocking: of the copies from the host those at which it waits, which torch makes by itself: of lengths in
    its CTC loss, and of places that numpy gives.
    """

    copies_in: int
    copies_out: int
    waits: int
    blocking: int = 0


HEADS = {
    "pr": Head(2, 2, 1, 1),
    "asr": Head(4, 4, 1, 1),
    "ks": Head(2, 3, 1),
    "sid": Head(2, 3, 1),
    "asv": Head(2, 1, 3),
    "sd": Head(6, 3, 1, 2),
    "ic": Head(2, 3, 1),
    "sf": Head(3, 3, 1, 1),
    "er": Head(2, 3, 1),
}
POOLED_KERNELS = 60
"""The most kernels of a training step on pooled features, s3prl's head with ours."""


@pytest.fixture(scope="module", autouse=True)
def _upstreams() -> None:
    pytest.importorskip("espeakng_loader")
    toy.register()


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_has_the_cpus_numbers_and_keeps_to_its_budget(name: str, tmp_path: Path) -> None:
    tasks.get(name).corpus.make_demo(tmp_path / "data")
    mode, steps = "memory" if tasks.get(name).pooled else "off", 2

    def plan(out: str) -> RunPlan:
        return short_runs.plan(name, tmp_path / "data", tmp_path / out, mode, steps)

    expected = short_runs.outcome(plan("cpu"))
    with rehearsed_runs.on_device() as costs:
        found = short_runs.outcome(plan("device"))
    assert not short_runs.differences(found, expected)
    assert found.numbers and found.files
    if name == "qbe":
        return
    assert len(costs.steps) == steps > 1 and costs.batches
    for counts in costs.steps[1:]:  # the first makes the optimizer's state
        check_step(name, counts)
        assert mode == "off" or sum(counts.kernels.values()) <= POOLED_KERNELS, counts.kernels
    for counts in costs.batches:
        assert not ours(counts.waits) and sum(ours(counts.copies_out).values()) <= 1, counts.copies_out
        assert sum(counts.blocking.values()) <= HEADS[name].blocking, counts.blocking


def check_step(name: str, counts: rehearsal.Counts) -> None:
    """Nothing of ours waits or copies out; one copy in brings the batch, the rest is the head's."""
    assert not ours(counts.waits) and not ours(counts.copies_out), (counts.waits, counts.copies_out)
    brought = ours(counts.copies_in)
    assert sum(brought.values()) == 1 and all(any(place in line for place in PLACES) for line in brought)
    _, copies_in, copies_out, waits = counts.row()
    head = Head(copies_in - 1, copies_out, waits, sum(counts.blocking.values()))
    assert head == HEADS[name], counts
