"""Reading batches from any position on, with and without items of their own randomness."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from downstream_runs.core.generators import random_states, seed_everything
from downstream_runs.engine import batches


class Crops(Dataset[tuple[int, float]]):
    """Items that draw a random number when they are read."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, random.random() + float(torch.rand(()))


def loader(workers: int = 0) -> Any:
    return DataLoader(Crops(), batch_size=3, shuffle=True, num_workers=workers, collate_fn=list)


def test_reading_is_that_of_torch() -> None:
    seed_everything(3)
    theirs = list(loader())
    seed_everything(3)
    ours = list(batches.read(batches.order_of_split(loader(), "test"), batches.Reading()))
    assert ours == theirs


@pytest.mark.parametrize("workers", [1, 2])
def test_seeded_items_do_not_depend_on_processes_or_position(workers: int) -> None:
    def read(processes: int, skip: int) -> list[Any]:
        seed_everything(3)
        before = random_states()
        order = batches.draw(loader())
        after = random_states()
        reading = batches.Reading(processes, seed=1337)
        return list(
            batches.read(batches.BatchOrder(loader(), order, skip, before, after, "train", 0), reading)
        )

    whole = read(0, 0)
    assert read(workers, 0) == whole
    assert read(workers, 2) == whole[2:]
    drawn = [number for batch in whole for _, number in batch]
    assert len(set(drawn)) == 11


def test_seeded_items_leave_the_random_state_alone() -> None:
    seed_everything(3)
    part = batches.order_of_split(loader(), "test")
    before = torch.get_rng_state(), random.getstate()
    rest = batches.read(part, batches.Reading(seed=1337))
    next(rest)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_the_epoch_is_part_of_the_seed() -> None:
    found = []
    for epoch in (0, 1):
        seed_everything(3)
        states = random_states()
        part = batches.BatchOrder(loader(), batches.draw(loader()), 0, states, states, "train", epoch)
        found.append(list(batches.read(part, batches.Reading(seed=1))))
    assert found[0] != found[1]
    assert [[index for index, _ in batch] for batch in found[0]] == [
        [index for index, _ in batch] for batch in found[1]
    ]


def test_batches_of_one_are_read_together() -> None:
    single: Any = DataLoader(Crops(), batch_size=1, collate_fn=list)
    assert [len(batch) for batch in batches.order_of_split(single, "test", 4).batches] == [4, 4, 3]
    assert [index for batch in batches.order_of_split(single, "test", 4).batches for index in batch] == list(
        range(11)
    )
    assert [len(batch) for batch in batches.order_of_split(loader(), "test", 4).batches] == [3, 3, 3, 2]
