"""Batches whose items are remembered are those that are read anew, with fewer reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from downstream_runs.core.generators import random_states, seed_everything
from downstream_runs.engine import batches
from downstream_runs.features.items import CachedWaveform, ItemCache, digest

Wave = NDArray[np.float32]
ITEMS, RANDOM = 11, (2, 7)


class Waves(Dataset[tuple[Wave, int]]):
    """Waveforms of which two are random crops."""

    def __init__(self) -> None:
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return ITEMS

    def __getitem__(self, index: int) -> tuple[Wave, int]:
        self.reads[index] += 1
        wave = np.arange(40, dtype=np.float32) + 100 * index
        start = np.random.randint(20) if index in RANDOM else 0
        return wave[start : start + 20], index


class Late(Waves):
    """Buckets of files that are only read when the batch is put together, as in s3prl's ctc.

    Each file is in two buckets; the last bucket has an utterance of the first only.
    """

    waves: ClassVar[Mapping[str, Any]] = {}

    def __getitem__(self, index: int) -> Any:
        return [str(name % ITEMS) for name in (index, index + 1)][: ITEMS - index]

    def files(self, index: int) -> list[str]:
        return list(self[index])

    def read(self, file: str) -> Wave:
        self.reads[int(file)] += 1
        return np.full(5, int(file), dtype=np.float32)

    @contextmanager
    def given(self, waves: Mapping[str, Any]) -> Iterator[None]:
        Late.waves = waves
        yield
        Late.waves = {}


def together(items: list[Any]) -> Any:
    return zip(*items, strict=True)


def late(items: list[Any]) -> Any:
    files = [file for bucket in items for file in bucket]
    return [Late.waves[file] if file in Late.waves else Late().read(file) for file in files], files


def samples(wave: Any) -> Wave:
    return np.asarray(wave.read() if isinstance(wave, CachedWaveform) else wave)


def epochs(
    dataset: Any, collate: Any, size: int, reading: batches.Reading, memory: ItemCache | None, skip: int = 0
) -> list[Any]:
    seed_everything(5)
    found = []
    for epoch in range(3):
        loader: Any = DataLoader(dataset, batch_size=size, shuffle=True, collate_fn=collate)
        before = random_states()
        order = batches.draw(loader)
        part = batches.BatchOrder(loader, order, skip, before, random_states(), "train", epoch)
        for wavs, labels in batches.read(part, reading, memory):
            found.append(([list(samples(wav)) for wav in wavs], list(labels)))
    return found


@pytest.mark.parametrize(("workers", "seed"), [(0, None), (0, 1337), (1, 1337)])
@pytest.mark.parametrize("skip", [0, 2])
def test_batches_are_the_same_with_and_without_memory(workers: int, seed: int | None, skip: int) -> None:
    reading = batches.Reading(workers, seed)
    memory = ItemCache()
    anew = epochs(Waves(), together, 3, reading, None, skip)
    assert epochs(Waves(), together, 3, reading, memory, skip) == anew
    if skip == 0:
        assert len(memory) == ITEMS - len(RANDOM)


def test_an_item_that_draws_nothing_is_read_once() -> None:
    dataset = Waves()
    memory = ItemCache()
    seed_everything(1)
    for _ in range(3):
        loader: Any = DataLoader(dataset, batch_size=4, shuffle=True, collate_fn=together)
        list(batches.read(batches.order_of_split(loader, "dev"), batches.Reading(), memory))
    assert {index: dataset.reads[index] for index in range(ITEMS)} == {
        index: 3 if index in RANDOM else 1 for index in range(ITEMS)
    }


@pytest.mark.parametrize(("size", "workers", "skip"), [(1, 0, 0), (1, 2, 0), (3, 1, 0), (1, 0, 4)])
def test_a_file_of_several_buckets_is_read_and_remembered_once(size: int, workers: int, skip: int) -> None:
    memory, dataset = ItemCache(), Late()
    reading = batches.Reading(workers)
    assert epochs(dataset, late, size, reading, memory, skip) == epochs(
        Late(), late, size, reading, None, skip
    )
    assert sorted(map(int, memory)) == list(range(ITEMS))
    assert Late.waves == {}


def test_each_file_is_read_once_and_stands_in_every_bucket() -> None:
    memory, dataset = ItemCache(), Late()
    for _ in range(2):
        loader: Any = DataLoader(dataset, batch_size=1, collate_fn=late)
        found = list(batches.read(batches.order_of_split(loader, "train"), batches.Reading(), memory))
    assert dataset.reads == Counter(range(ITEMS))
    assert all(isinstance(wave, CachedWaveform) and wave.wave is None for waves, _ in found for wave in waves)


def test_what_is_remembered_holds_no_audio() -> None:
    memory = ItemCache()
    wave = np.ones(16000, dtype=np.float32)
    given = memory.keep(0, (wave, "label"), lambda: (wave, "label"))
    assert given[0].wave is wave
    kept = memory[0]
    assert kept[0].wave is None
    assert (len(kept[0]), kept[1]) == (16000, "label")
    assert kept[0].sha256 == digest(wave) != digest(2 * wave)
    assert kept[0].astype(np.float32) is kept[0]


def test_content_without_audio_is_not_remembered() -> None:
    memory = ItemCache()
    content = (["a", "b"], 3)
    assert memory.keep(0, content, lambda: content) is content
    assert len(memory) == 0
