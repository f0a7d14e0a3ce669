"""All layers of an upstream on disk: one pass over the audio, then each layer read by itself.

`FOLDER/GROUP-NNNN/layer-KK.npy` holds the frames `[frame, feature]` of some consecutive recordings, and
`index.json`, written last, their names and numbers of frames: a folder without it is made again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.corpora.quesst14 import Recording
from upstream_arm.common.errors import RunFailed
from upstream_arm.common.files import atomic_path, atomic_write_text

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from downstream_runs.engine.threads import Many

    Frames = NDArray[np.floating[Any]]
    Compute = Callable[[Recording], list[torch.Tensor]]

CHUNK_SECONDS = 60.0
"""Audio of one folder: 13 layers of 768 features at 50 frames a second are then 120 MB, twice in memory."""

RESERVE_BYTES = 1_000_000_000
"""Left free on the disk for everything else."""

INDEX = "index.json"


@dataclass(frozen=True)
class Chunk:
    """Some recordings of one group, whose features lie in one folder."""

    folder: Path
    recordings: tuple[Recording, ...]

    @property
    def names(self) -> list[str]:
        """The names of the recordings."""
        return [recording.name for recording in self.recordings]

    @property
    def seconds(self) -> float:
        """The length of all recordings."""
        return sum(recording.seconds for recording in self.recordings)

    def layers(self) -> int:
        """How many layers are stored; 0 unless the chunk is complete."""
        index = self._index()
        return int(index["layers"]) if index.get("names") == self.names else 0

    def whole(self, layer: int) -> Frames:
        """The frames `[frame, feature]` of all recordings, in the precision of the store."""
        import numpy as np

        # Private to this process ("c"): torch warns of memory that must not be written.
        frames: Frames = np.load(self._file(layer), mmap_mode="c", allow_pickle=False)
        return frames

    def read(self, layer: int) -> list[Frames]:
        """The frames `[frame, feature]` of each recording, in the precision of the store."""
        import numpy as np

        ends = np.cumsum(self._index()["frames"][layer])
        return np.split(self.whole(layer), ends[:-1])

    def write(self, states: Sequence[list[torch.Tensor]], dtype: str) -> int:
        """Store all layers of each recording; returns their bytes. RunFailed if `dtype` holds them not."""
        import numpy as np
        import torch

        from downstream_runs.features import rounding

        size = 0
        for layer in range(len(states[0])):
            found = [one[layer] for one in states]
            bad = next((row for row, one in enumerate(found) if not one.isfinite().all()), None)
            if bad is not None:
                raise RunFailed(
                    f"layer {layer} of the upstream gives {self.names[bad]} features that are not finite "
                    "numbers; check that file, and the upstream"
                )
            joined = torch.cat(found)
            if not rounding.holds(joined[None], getattr(torch, dtype)):
                raise RunFailed(
                    f"{dtype} does not hold layer {layer} between {self.names[0]} and {self.names[-1]}: its "
                    "values are too large, or too many below the type's normal range; start again with "
                    "-o downstream_expert.feature_store=float32"
                )
            frames = joined.numpy().astype(dtype, copy=False)
            with atomic_path(self._file(layer)) as temporary, temporary.open("wb") as file:
                np.save(file, frames)
            size += frames.nbytes
        counts = [[len(one[layer]) for one in states] for layer in range(len(states[0]))]
        index = {"names": self.names, "layers": len(counts), "frames": counts}
        atomic_write_text(self.folder / INDEX, json.dumps(index) + "\n")
        return size

    def _file(self, layer: int) -> Path:
        return self.folder / f"layer-{layer:02d}.npy"

    def _index(self) -> dict[str, Any]:
        try:
            index = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return index if isinstance(index, dict) else {}


class LayerStore:
    """The features of all layers of groups of recordings, in `folder`."""

    def __init__(self, folder: Path, groups: Mapping[str, Sequence[Recording]], dtype: str) -> None:
        self.folder = folder
        self.dtype = dtype
        self.groups = {group: _chunks(folder, group, found) for group, found in groups.items()}

    def fill(self, compute: Compute, bar: Callable[..., Any], many: Many = map) -> int:
        """Compute what is missing, one pass over the audio; returns the number of layers.

        compute: all hidden states `[frame, feature]` of a recording, on the CPU. many: a `map` over them.
        RunFailed if the disk has no room for all of it, or the number of layers is not always the same.
        """
        chunks = [chunk for group in self.groups.values() for chunk in group]
        missing = [chunk for chunk in chunks if not chunk.layers()]
        left = sum(chunk.seconds for chunk in missing)
        total = sum(len(chunk.recordings) for chunk in missing)
        shown = iter(bar(range(total), desc="features", total=total))

        def counted(chunk: Chunk) -> Iterator[list[torch.Tensor]]:
            for states in many(compute, chunk.recordings):
                next(shown)
                yield states

        # A chunk is written while the next one is computed.
        with ThreadPoolExecutor(1) as writer:
            written: Future[None] | None = None
            for chunk in missing:
                states = list(counted(chunk))
                if written is not None:
                    written.result()
                left -= chunk.seconds
                written = writer.submit(self._write, chunk, states, left)
            if written is not None:
                written.result()
        next(shown, None)
        found = {chunk.layers() for chunk in chunks}
        if len(found) != 1:
            raise RunFailed(f"the upstream gave {sorted(found)} hidden states for one recording or another")
        return found.pop()

    def _write(self, chunk: Chunk, states: Sequence[list[torch.Tensor]], left: float) -> None:
        """Write a chunk; RunFailed if the disk has no room for the `left` seconds of audio after it."""
        size = chunk.write(states, self.dtype)
        self._require_room(size / max(chunk.seconds, 1e-3) * left)

    def remove(self) -> None:
        """Delete all features."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _require_room(self, needed: float) -> None:
        free = shutil.disk_usage(self.folder).free
        if needed + RESERVE_BYTES > free:
            raise RunFailed(
                f"{self.folder} needs {needed / 1e9:.1f} GB more for the features of all layers, and its "
                f"disk has {free / 1e9:.1f} GB free: make room or name another --out; "
                "-o downstream_expert.feature_store=float16 halves what is needed, as a stated deviation"
            )


def _chunks(folder: Path, group: str, recordings: Sequence[Recording]) -> list[Chunk]:
    """Recordings of like lengths together: documents are later padded to the longest beside them."""
    chunks: list[list[Recording]] = []
    filled = 0.0
    for recording in sorted(recordings, key=lambda one: (one.seconds, one.name)):
        if not chunks or filled + recording.seconds > CHUNK_SECONDS:
            chunks.append([])
            filled = 0.0
        chunks[-1].append(recording)
        filled += recording.seconds
    return [Chunk(folder / f"{group}-{number:04d}", tuple(found)) for number, found in enumerate(chunks)]
