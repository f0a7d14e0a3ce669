"""All layers of an upstream for QbE: one pass over the audio into a cache, then each layer by itself."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.feature_options import DTYPES
from downstream_runs.corpora.quesst14 import Recording
from downstream_runs.features.cache import FRAMES, FeatureCache
from downstream_runs.features.options import StoredKind
from upstream_arm.common.errors import RunFailed

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Frames = NDArray[np.floating[Any]]
    Compute = Callable[[Recording], torch.Tensor]
    Many = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

CHUNK_SECONDS = 60.0
"""Audio of one chunk: 13 layers of 768 features at 50 frames a second are then 120 MB in memory."""


@dataclass(frozen=True)
class Chunk:
    """Some recordings of one group, whose features are computed, and a layer of which is read, together."""

    cache: FeatureCache
    group: str
    recordings: tuple[Recording, ...]

    @property
    def names(self) -> list[str]:
        """The names of the recordings."""
        return [recording.name for recording in self.recordings]

    @property
    def seconds(self) -> float:
        """The length of all recordings."""
        return sum(recording.seconds for recording in self.recordings)

    def key(self, recording: Recording) -> str:
        """Of a recording's frames in the cache, which is of one corpus."""
        return self.cache.key(f" {self.group} {recording.name}".encode())

    def read(self, layer: int) -> list[Frames]:
        """The frames `[frame, feature]` of each recording as they were stored; RunFailed if they are gone."""
        items = [self.cache.get(self.key(recording), layer) for recording in self.recordings]
        if None in items:
            name = self.names[items.index(None)]
            raise RunFailed(
                f"the features of {name} in {self.cache.folder} are gone or damaged; start the same command "
                "again, it computes them anew"
            )
        return [item[FRAMES].numpy() for item in items if item is not None]

    def whole(self, layer: int) -> Frames:
        """The frames `[frame, feature]` of all recordings, one after another."""
        import numpy as np

        return np.concatenate(self.read(layer))


class LayerStore:
    """The features of all layers of groups of recordings, below a folder that is this process's.

    identity: of the upstream; what is there of another, or in another form, is removed. dtype: must hold all.
    """

    def __init__(
        self, folder: Path, identity: str, groups: Mapping[str, Sequence[Recording]], dtype: str
    ) -> None:
        precision = next(precision for precision, name in DTYPES.items() if name == dtype)
        self.folder, self.dtype = folder, dtype
        self.stored = StoredKind("disk", "frames", precision)
        self.cache = FeatureCache.of_upstream(folder, identity, self.stored)
        for path in folder.glob("*"):
            if self.cache.folder is None or path != self.cache.folder.parent:
                shutil.rmtree(path, ignore_errors=True)
        self.groups = {group: _chunks(self.cache, group, members) for group, members in groups.items()}

    def fill(self, compute: Compute, bar: Callable[..., Any], many: Many = map) -> int:
        """Compute what is missing, one pass over the audio; returns the number of layers.

        compute: the frames `[layer, frame, feature]` of a recording, on the CPU, of the type if that holds
        them. many: a `map` over recordings.
        RunFailed if the disk has no room for all of it, or the number of layers is not always the same.
        """
        counts: set[int] = set()
        missing: list[tuple[Chunk, list[Recording]]] = []
        for chunk in itertools.chain.from_iterable(self.groups.values()):
            items = [(one, self.cache.get(chunk.key(one))) for one in chunk.recordings]
            counts |= {len(item[FRAMES]) for _, item in items if item is not None}
            missing.append((chunk, [one for one, item in items if item is None]))
        left = sum(one.seconds for _, recordings in missing for one in recordings)
        total = sum(len(recordings) for _, recordings in missing)
        shown = iter(bar(range(total), desc="features", total=total))
        for chunk, recordings in missing:
            for recording, frames in zip(recordings, many(compute, recordings), strict=True):
                left -= recording.seconds
                counts.add(len(frames))
                self._store(chunk, recording, frames, left)
                next(shown)
        next(shown, None)
        if len(counts) != 1:
            raise RunFailed(f"the upstream gave {sorted(counts)} hidden states for one recording or another")
        return counts.pop()

    def _store(self, chunk: Chunk, recording: Recording, frames: torch.Tensor, left: float) -> None:
        """Store a recording's layers; RunFailed if they are no numbers, or the rest will have no room."""
        wild = (~frames.isfinite()).any(-1).any(-1).tolist()
        if any(wild):
            raise RunFailed(
                f"layer {wild.index(True)} of the upstream gives {recording.name} features that are not "
                "finite numbers; check that file, and the upstream"
            )
        if str(frames.dtype) != f"torch.{self.dtype}":
            raise RunFailed(
                f"{self.dtype} does not hold the features of {recording.name}: too large, or too many below "
                "the type's normal range; start again with -o downstream_expert.feature_store=float32"
            )
        self.cache.put(chunk.key(recording), {FRAMES: frames.contiguous()})
        needed = frames.nbytes / max(recording.seconds, 1e-3) * left
        if self.cache.full or not self.cache.has_room(int(needed)):
            free = shutil.disk_usage(self.folder).free
            raise RunFailed(
                f"{self.folder} needs {needed / 1e9:.1f} GB more for the features of all layers, and its "
                f"disk has {free / 1e9:.1f} GB free: make room or name another --out; "
                "-o downstream_expert.feature_store=float16 halves what is needed, as a stated deviation"
            )

    def remove(self) -> None:
        """Delete all features."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _chunks(cache: FeatureCache, group: str, recordings: Sequence[Recording]) -> list[Chunk]:
    """Recordings of like lengths together: documents are later padded to the longest beside them."""
    chunks: list[list[Recording]] = []
    filled = 0.0
    for recording in sorted(recordings, key=lambda one: (one.seconds, one.name)):
        if not chunks or filled + recording.seconds > CHUNK_SECONDS:
            chunks.append([])
            filled = 0.0
        chunks[-1].append(recording)
        filled += recording.seconds
    return [Chunk(cache, group, tuple(members)) for members in chunks]


@contextlib.contextmanager
def one_each(device: torch.device, stateless: bool) -> Iterator[Many]:
    """A `map`, in order, of as many computations at a time as torch has threads, each on one thread.

    torch divides one computation among its threads, which for a recording of some seconds leaves them idle
    much of the time. stateless: whether what is computed may run in several threads; plain `map` where not,
    and on a GPU.
    """
    import torch

    threads = torch.get_num_threads()
    if device.type != "cpu" or threads < 2 or not stateless:
        yield map
        return
    torch.set_num_threads(1)  # threads that begin later take this over
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool.map
    finally:
        # After an interrupt nothing that is still waiting is begun.
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
