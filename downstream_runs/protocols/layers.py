"""All layers of an upstream for QbE: one pass over the audio into a cache, then each layer by itself."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from downstream_runs.core.feature_options import DTYPES
from downstream_runs.corpora.quesst14 import Recording
from downstream_runs.features.cache import FRAMES, FeatureCache
from downstream_runs.features.options import StoredKind
from upstream_arm.common.errors import RunFailed

Frames = NDArray[np.floating[Any]]
Compute = Callable[[Recording], torch.Tensor]
Many = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

Item = TypeVar("Item")
Chunk = Sequence[Recording]
"""Some recordings whose features are computed, and a layer of which is read, together."""

CHUNK_SECONDS = 60.0
"""Audio of one chunk: 13 layers of 768 features at 50 frames a second are then 120 MB in memory."""


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
        self.names = {group: [one.name for one in members] for group, members in groups.items()}
        # Recordings of like lengths together.
        self.groups: dict[str, list[list[Recording]]] = {
            group: in_lots(
                sorted(members, key=lambda one: (one.seconds, one.name)),
                lambda one: one.seconds,
                CHUNK_SECONDS,
            )
            for group, members in groups.items()
        }

    def key(self, group: str, recording: Recording) -> str:
        """Of a recording's frames in the cache, which is of one corpus."""
        return self.cache.key(f" {group} {recording.name}".encode())

    def read(self, group: str, chunk: Chunk, layer: int) -> list[Frames]:
        """The frames `[frame, feature]` of each recording as they were stored; RunFailed if they are gone."""
        items = [self.cache.get(self.key(group, one), layer) for one in chunk]
        if None in items:
            raise RunFailed(
                f"the features of {chunk[items.index(None)].name} in {self.cache.folder} are gone or "
                "damaged; start the same command again, it computes them anew"
            )
        return [item[FRAMES].numpy() for item in items if item is not None]

    def fill(self, compute: Compute, bar: Callable[..., Any], many: Many = map) -> int:
        """Compute what is missing, one pass over the audio; returns the number of layers.

        compute: the frames `[layer, frame, feature]` of a recording, on the CPU, of the type if that holds
        them. many: a `map` over recordings.
        RunFailed if the disk has no room for all of it, or the number of layers is not always the same.
        """
        counts: set[int] = set()
        missing: list[tuple[str, list[Recording]]] = []
        for group, chunk in ((group, chunk) for group, chunks in self.groups.items() for chunk in chunks):
            items = [(one, self.cache.get(self.key(group, one))) for one in chunk]
            counts |= {len(item[FRAMES]) for _, item in items if item is not None}
            missing.append((group, [one for one, item in items if item is None]))
        left = sum(length(recordings) for _, recordings in missing)
        total = sum(len(recordings) for _, recordings in missing)
        shown = iter(bar(range(total), desc="features", total=total))
        for group, recordings in missing:
            for recording, frames in zip(recordings, many(compute, recordings), strict=True):
                left -= recording.seconds
                counts.add(len(frames))
                self._store(group, recording, frames, left)
                next(shown)
        next(shown, None)
        if len(counts) != 1:
            raise RunFailed(f"the upstream gave {sorted(counts)} hidden states for one recording or another")
        return counts.pop()

    def _store(self, group: str, recording: Recording, frames: torch.Tensor, left: float) -> None:
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
        self.cache.put(self.key(group, recording), {FRAMES: frames.contiguous()})
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
        self.cache.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def in_lots(items: Iterable[Item], seconds: Callable[[Item], float], limit: float) -> list[list[Item]]:
    """Items in lots of at most `limit` seconds of audio, in their order; a longer item is alone in one."""
    lots: list[list[Item]] = []
    filled = 0.0
    for item in items:
        if not lots or filled + seconds(item) > limit:
            lots.append([])
            filled = 0.0
        lots[-1].append(item)
        filled += seconds(item)
    return lots


def length(recordings: Iterable[Recording]) -> float:
    """Seconds of all together."""
    return sum(recording.seconds for recording in recordings)


@contextlib.contextmanager
def one_each(device: torch.device, stateless: bool) -> Iterator[Many]:
    """A `map`, in order, of as many computations at a time as torch has threads, each on one thread.

    torch divides one computation among its threads, which for a recording of some seconds leaves them idle
    much of the time. stateless: whether what is computed may run in several threads; plain `map` where not,
    and on a GPU.
    """

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
