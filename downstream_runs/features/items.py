"""What a data set gave for an index, without its audio, so that no file is read and hashed in every pass.

An item whose reading drew no random number is the same each time; it is read once, and in its place stand its
labels and a `CachedWaveform` for each waveform. Random crops are read anew.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from downstream_runs.core.generators import seeded_reading


@dataclass(frozen=True)
class CachedWaveform:
    """Stands for a waveform where s3prl's collating functions expect one.

    sha256: of its samples in fp32, which finds its features. samples: how many. read: reads it again.
    wave: the waveform itself, only when it was just read. split: what it was read for.
    """

    sha256: bytes
    samples: int
    read: Callable[[], Any]
    wave: Any = None
    split: str = ""

    def __len__(self) -> int:
        return self.samples

    def astype(self, dtype: Any) -> CachedWaveform:
        """Itself, as it is in fp32: s3prl's diarization asks numpy arrays for this."""
        return self


class ItemReader:
    """Reads items of a data set, in worker processes too."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __call__(self, job: tuple[int | None, Sequence[Any]]) -> list[tuple[Any, bool]]:
        """The items of (seed, indices) under that seed, and of each whether random numbers were drawn."""
        seed, indices = job
        with seeded_reading(seed):
            return [self._read(index) for index in indices]

    def _read(self, index: Any) -> tuple[Any, bool]:
        before = _generators()
        content = self._dataset[index]
        return content, _generators() != before

    def content(self, index: Any) -> Any:
        """The item of an index."""
        return self._dataset[index]


class ItemCache(dict[Any, Any]):
    """The items of one split that are the same each time, by their indices; or waveforms, by their files."""

    def __init__(self, split: str = "") -> None:
        super().__init__()
        self.split = split

    def keep(self, key: Any, content: Any, read: Callable[[], Any]) -> Any:
        """Keep `content` without its audio; returns it with a `CachedWaveform` for each waveform.

        read: gives the same content again. Content whose first part is no audio is handed back as it is.
        """
        first, *others = content
        several = isinstance(first, (list, tuple))
        waves = list(first) if several else [first]
        if not waves or not all(getattr(wave, "ndim", 0) == 1 and len(wave) > 1 for wave in waves):
            return content

        def read_again(number: int) -> Callable[[], Any]:
            return lambda: read()[0][number] if several else read()[0]

        cached = [
            CachedWaveform(digest(wave), len(wave), read_again(number), wave, self.split)
            for number, wave in enumerate(waves)
        ]
        bare = [replace(one, wave=None) for one in cached]
        self[key] = (bare if several else bare[0], *others)
        return (cached if several else cached[0], *others)

    def keep_file(self, file: str, wave: Any, read: Callable[[str], Any]) -> CachedWaveform:
        """Keep what stands for the waveform of a file; returns it with the waveform itself."""
        again = functools.partial(read, file)
        kept = self[file] = CachedWaveform(digest(wave), len(wave), again, split=self.split)
        return replace(kept, wave=wave)


def digest(wave: Any) -> bytes:
    """SHA-256 over the samples of a waveform in fp32."""
    import numpy as np

    samples = wave.detach().cpu().numpy() if hasattr(wave, "detach") else wave
    return hashlib.sha256(np.ascontiguousarray(samples, dtype=np.float32).data).digest()


def _generators() -> tuple[Any, ...]:
    """The states of the generators that a data set may draw from."""
    import numpy as np
    import torch

    numpys: Any = np.random.get_state()
    torchs = torch.get_rng_state().numpy().tobytes()
    return random.getstate(), numpys[1].tobytes(), numpys[2:], torchs
