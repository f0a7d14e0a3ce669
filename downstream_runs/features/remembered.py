"""What a data set gave for an index, without its audio, so that no file is read and hashed in every pass.

An item whose reading drew no random number is the same each time; it is read once, and in its place stand its
labels and a `StoredWave` for each waveform: the hash that finds its features, and its length. Random crops
are read anew.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from downstream_runs.core.generators import reading_undone, seed_reading


@dataclass(frozen=True)
class StoredWave:
    """Stands for a waveform where s3prl's collating functions expect one.

    sha256: of its samples in fp32. samples: how many. wave: the waveform itself, only when it was just read.
    read: reads it again.
    """

    sha256: bytes
    samples: int
    read: Callable[[], Any]
    wave: Any = None

    def __len__(self) -> int:
        return self.samples

    def astype(self, dtype: Any) -> StoredWave:
        """Itself, as it is in fp32: s3prl's diarization asks numpy arrays for this."""
        return self


@dataclass(frozen=True)
class Job:
    """Items to be read together: their keys, and the seed of all of them.

    seed: None for the random generators as they are.
    """

    keys: tuple[Any, ...]
    seed: int | None = None


@dataclass(frozen=True)
class Read:
    """One item, or one whole batch, and whether random numbers were drawn to read it."""

    key: Any
    content: Any
    drew: bool


class Reader:
    """Reads jobs; a data set for torch's loader, so that worker processes can do it."""

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Any]) -> None:
        self._dataset, self._collate = dataset, collate

    def __getitem__(self, job: Job) -> list[Read]:
        if job.seed is None:
            return [self._read(key) for key in job.keys]
        with reading_undone():
            seed_reading(job.seed)
            return [self._read(key) for key in job.keys]

    def _read(self, key: Any) -> Read:
        before = _generators()
        content = self.content(key)
        return Read(key, content, not _equal(before, _generators()))

    def content(self, key: Any) -> Any:
        """The item of an index, or, of a one-tuple, the whole batch that s3prl makes of it alone.

        A batch of one index may be many utterances, read when they are put together (s3prl's ctc buckets).
        """
        if not isinstance(key, tuple):
            return self._dataset[key]
        batch = self._collate([self._dataset[key[0]]])
        return batch if isinstance(batch, (tuple, list)) else tuple(batch)


class Memory:
    """The items of one split that are the same each time."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def __contains__(self, key: Any) -> bool:
        return key in self._known

    def __getitem__(self, key: Any) -> Any:
        return self._known[key]

    def __len__(self) -> int:
        return len(self._known)

    def keep(self, place: Any, content: Any, read: Callable[[], Any]) -> Any:
        """Remember `content` at `place` without its audio; returns it with both.

        read: gives the same content again. Content whose first part is no audio is handed back as it is.
        """
        first, *others = content
        several = isinstance(first, (list, tuple))
        waves = list(first) if several else [first]
        if not waves or not all(_is_wave(wave) for wave in waves):
            return content
        stored = [_stored(wave, number, several, read) for number, wave in enumerate(waves)]
        bare = [StoredWave(one.sha256, one.samples, one.read) for one in stored]
        self._known[place] = (bare if several else bare[0], *others)
        return (stored if several else stored[0], *others)


def _stored(wave: Any, number: int, several: bool, read: Callable[[], Any]) -> StoredWave:
    def again() -> Any:
        first = read()[0]
        return first[number] if several else first

    return StoredWave(digest(wave), len(wave), again, wave)


def digest(wave: Any) -> bytes:
    """SHA-256 over the samples of a waveform in fp32."""
    import numpy as np

    samples = wave.detach().cpu().numpy() if hasattr(wave, "detach") else wave
    return hashlib.sha256(np.ascontiguousarray(samples, dtype=np.float32).data).digest()


def _is_wave(value: Any) -> bool:
    return getattr(value, "ndim", 0) == 1 and len(value) > 1


def _generators() -> Sequence[Any]:
    """The states of the generators that a data set may draw from."""
    import numpy as np
    import torch

    _, keys, position, *gauss = np.random.get_state()
    return random.getstate(), keys, (position, *gauss), torch.get_rng_state()


def _equal(before: Sequence[Any], after: Sequence[Any]) -> bool:
    python, keys, position, torchs = before
    same = python == after[0] and position == after[2]
    return bool(same and (keys == after[1]).all() and (torchs == after[3]).all())
