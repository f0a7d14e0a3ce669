"""The batches of a data loader, in s3prl's random order, from any position on.

s3prl's loaders draw from the global random generators; what they draw, and when, is kept, so that a run gives
the numbers of s3prl and a resumed run those of an undisturbed one.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from downstream_runs.engine.state import random_states, restore_random_states


@dataclass(frozen=True)
class Reading:
    """How batches are read: by `workers` processes (0: by this one), and whether items are seeded.

    `seed`: set where a data set draws random numbers when it reads an item, in worker processes, whose
    generators depend on their number and on what they read before. Each batch is then seeded on its own.
    """

    workers: int = 0
    seed: int | None = None


def draw(loader: Any) -> list[list[Any]]:
    """An epoch's batches as indices, drawn as torch's loader does: its workers' seed, then the order."""
    import torch

    torch.empty((), dtype=torch.int64).random_(generator=loader.generator)
    return [list(batch) for batch in loader.batch_sampler]


def read(
    loader: Any,
    order: Sequence[list[Any]],
    skip: int,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    reading: Reading,
    key: str,
) -> Iterator[Any]:
    """The batches of `order` from number `skip` on.

    `before`: the random states from which `order` was drawn; the loader draws the seed of its workers from
    them. `after`: the states in which reading begins. `key`: tells epochs and splits apart in item seeds.
    """
    from torch.utils.data import DataLoader

    dataset, batches = loader.dataset, list(order[skip:])
    if reading.seed is not None:
        seeds = (_seed(reading.seed, key, number) for number in range(skip, len(order)))
        dataset = _SeededItems(dataset)
        batches = [[(seed, index) for index in batch] for seed, batch in zip(seeds, batches, strict=True)]
    rest = DataLoader(
        dataset, batch_sampler=batches, num_workers=reading.workers, collate_fn=loader.collate_fn
    )
    restore_random_states(dict(before))
    started = iter(rest)
    restore_random_states(dict(after))
    yield from started


def whole(loader: Any, reading: Reading, key: str) -> Callable[[], Iterator[Any]]:
    """All batches of a loader, drawn at once; the function that is returned reads them."""
    before = random_states()
    order = draw(loader)
    after = random_states()
    return lambda: read(loader, order, 0, before, after, reading, key)


class _SeededItems:
    """A data set whose batches, lists of (seed, index), are each read with generators of that seed."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitems__(self, items: list[tuple[int, Any]]) -> list[Any]:
        import numpy as np
        import torch

        seed = items[0][0]
        states = random_states()
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            return [self._dataset[index] for _, index in items]
        finally:
            restore_random_states(states)


def _seed(seed: int, key: str, number: int) -> int:
    import numpy as np

    words = np.random.SeedSequence([seed, zlib.crc32(key.encode("utf-8")), number])
    return int(words.generate_state(1)[0])
