"""The batches of a data loader, in s3prl's random order, from any position on.

s3prl's loaders draw from the global random generators; what they draw, and when, is kept, so that a run gives
the numbers of s3prl and a resumed run those of an undisturbed one.
"""

from __future__ import annotations

import functools
import zlib
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from downstream_runs.core.generators import random_states, restore_random_states, seeded_reading
from downstream_runs.engine import prefetch
from downstream_runs.features.items import ItemCache, ItemReader
from upstream_arm.common.errors import RunFailed


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
    torch.empty((), dtype=torch.int64).random_(generator=loader.generator)
    return [list(batch) for batch in loader.batch_sampler]


@dataclass(frozen=True)
class BatchOrder:
    """The batches of a loader in their order, as indices, from number `skip` on.

    `before`: the random states from which the order was drawn; the loader draws the seed of its workers from
    them. `after`: the states in which reading begins. `split`, `epoch`: tell item seeds apart; no epoch for
    an evaluation.
    """

    loader: Any
    batches: Sequence[list[Any]]
    skip: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    split: str
    epoch: int | None = None

    def seed(self, seed: int | None, number: int) -> int | None:
        """The seed of the items of batch `number`, from the run's; None where items are not seeded."""
        if seed is None:
            return None
        key = self.split if self.epoch is None else f"{self.split} {self.epoch}"
        words = np.random.SeedSequence([seed, zlib.crc32(key.encode("utf-8")), number])
        return int(words.generate_state(1)[0])


def read(order: BatchOrder, reading: Reading, cache: ItemCache | None = None) -> Iterator[Any]:
    """The batches in their order; items that `cache` has are not read again."""
    if cache is None:
        numbers = range(order.skip, len(order.batches))
        jobs = [(order.seed(reading.seed, number), order.batches[number]) for number in numbers]
        whole = BatchReader(order.loader.dataset, order.loader.collate_fn)
        yield from _start(order, whole, jobs, reading.workers)
        return
    # s3prl's ctc tasks have an item for a bucket of files, and each file is in many buckets.
    by_file = hasattr(order.loader.dataset, "files")
    yield from (_read_by_file if by_file else _read_new)(order, reading, cache)


def read_plain(
    dataset: Any, collate: Callable[[list[Any]], Any], order: Sequence[list[Any]], workers: int
) -> Iterator[Any]:
    """The batches of `order`, of a data set that draws no random numbers."""
    return prefetch.in_order(
        BatchReader(dataset, collate), [(None, batch) for batch in order], workers, seed=0
    )


def _start(order: BatchOrder, read: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[Any]:
    """Reading begins in the states that follow the order; processes are seeded from those before it."""
    restore_random_states(dict(order.before))
    seed = int(torch.empty((), dtype=torch.int64).random_())
    restore_random_states(dict(order.after))
    return prefetch.in_order(read, jobs, workers, seed)


def _read_new(order: BatchOrder, reading: Reading, cache: ItemCache) -> Iterator[Any]:
    """As `read`, without reading what is in the cache: such items draw no random numbers."""
    reader = ItemReader(order.loader.dataset)
    numbers = range(order.skip, len(order.batches))
    unknown = {number: [index for index in order.batches[number] if index not in cache] for number in numbers}
    jobs = [(order.seed(reading.seed, number), unknown[number]) for number in numbers if unknown[number]]
    new = _start(order, reader, jobs, reading.workers)
    for number in numbers:
        read_now = iter(next(new) if unknown[number] else ())
        contents = []
        for index in order.batches[number]:
            if index in unknown[number]:
                content, drew = next(read_now)
                again = functools.partial(reader.content, index)
                contents.append(content if drew else cache.keep(index, content, again))
            else:
                contents.append(cache[index])
        yield order.loader.collate_fn(contents)


def _read_by_file(order: BatchOrder, reading: Reading, cache: ItemCache) -> Iterator[Any]:
    """As `read`, reading each file once, for the first batch that it is in."""
    dataset = order.loader.dataset
    numbers = range(order.skip, len(order.batches))
    unknown: dict[int, list[str]] = {}
    known = set(cache)
    for number in numbers:
        files = dict.fromkeys(file for index in order.batches[number] for file in dataset.files(index))
        unknown[number] = [file for file in files if file not in known]
        known.update(unknown[number])
    jobs = [unknown[number] for number in numbers if unknown[number]]
    new = _start(order, lambda files: [dataset.read(file) for file in files], jobs, reading.workers)
    for number in numbers:
        waves = zip(unknown[number], next(new) if unknown[number] else (), strict=True)
        fresh = {file: cache.keep_file(file, wave, dataset.read) for file, wave in waves}
        with dataset.given(ChainMap(fresh, cache)):
            batch = order.loader.collate_fn([dataset[index] for index in order.batches[number]])
        yield batch


def order_of_split(loader: Any, split: str, together: int = 1) -> BatchOrder:
    """All batches of a split, drawn at once. Where each is of one item, `together` of them are made one."""
    before = random_states()
    batches = draw(loader)
    if all(len(batch) == 1 for batch in batches):
        indices = [index for (index,) in batches]
        batches = [indices[start : start + together] for start in range(0, len(indices), together)]
    return BatchOrder(loader, batches, 0, before, random_states(), split)


class BatchReader:
    """Reads the batch of (seed, indices), with random generators of that seed, or as they are if None."""

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Any]) -> None:
        self._dataset, self._collate = dataset, collate

    def __call__(self, job: tuple[int | None, list[Any]]) -> Any:
        seed, indices = job
        with seeded_reading(seed):
            if hasattr(self._dataset, "__getitems__"):
                items = list(self._dataset.__getitems__(indices))
            else:
                items = [self._dataset[index] for index in indices]
        batch = self._collate(items)
        return tuple(batch) if isinstance(batch, zip) else batch  # s3prl's are good for one pass


def utterance_names(others: list[Any] | tuple[Any, ...]) -> list[str]:
    """The utterances of a batch: s3prl's experts hand their names as the last list of strings."""
    for field in reversed(others):
        if isinstance(field, (list, tuple)) and field and all(isinstance(name, str) for name in field):
            return list(field)
    return []


def readable(found: Iterator[Any], split: str, step: Callable[[], int]) -> Iterator[Any]:
    """The batches of `split`, read after so many steps; RunFailed for one that cannot be read."""
    try:
        yield from found
    except (RuntimeError, OSError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise RunFailed(
            f"a batch of split {split} could not be read after step {step()}: {type(error).__name__}: "
            f"{reason}; repair what this names and start the same command again, it goes on from its last "
            "checkpoint"
        ) from error
