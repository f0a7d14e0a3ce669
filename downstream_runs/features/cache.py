"""Features of an upstream in memory or in files, each item found by what it was computed from."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.features.options import StoredKind
from downstream_runs.features.packs import MOST_BYTES, Packs

if TYPE_CHECKING:
    import torch

Item = dict[str, "torch.Tensor"]

MEMORY_BYTES = 4_000_000_000
"""What a cache in memory takes at most where no bound is given."""

RESERVE_BYTES = 2_000_000_000
"""Left free on the disk for checkpoints and results."""

VERSION = 3
"""To be raised when an item of the same key would hold something else."""

FRAMES = "frames"
"""The tensor `[layer, frame, feature]` of an item of frames."""
CHECKSUM = "crc32"
"""In a file beside an item's tensors: the CRC-32 of their bytes, in the order of their names."""
TYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}
"""safetensors' name of a type -> torch's."""


@dataclass
class FeatureCache:
    """Items of tensors by key, up to a number of bytes; what does not fit is not stored, and the run goes on.

    The items of an upstream in files, where any number of processes may fill and read them:

        ROOT/                            RUNS/cache/features, or `features` in the folder of a run of QbE
          0f3a…/                         an upstream: the start of its identity (weights, code, options)
            frames-fp16/                 kind and precision: the `folder` of this class
              HOST-0.pack                utterances: each as a .safetensors file would be, with `crc32`
              HOST-0.index               where each is, see `Packs`
              a7/a7c0….safetensors       an utterance as earlier versions stored it: used, and not counted

    Nothing of them is held in memory: the system keeps what is read often, once for all processes. An item
    that is cut short, or whose bytes are not those that were written, is not used and is written again.

    folder: of the files; None keeps items in memory. prefix: what all keys begin with, see `of_upstream`.
    limit: bytes of all items; None for what the disk has. full: an item did not fit; on_full is called when
    the first does not. hits, misses, written: how often `get` found one and not, and how many were kept.
    """

    folder: Path | None
    prefix: str = ""
    limit: int | None = None
    full: bool = False
    on_full: Callable[[], None] | None = None
    hits: int = 0
    misses: int = 0
    written: int = 0
    _memory: dict[str, Item] = field(default_factory=dict)
    _memory_bytes: int = 0
    _packs: Packs | None = None
    _checked: set[str] = field(default_factory=set)

    @classmethod
    def of_upstream(
        cls, root: Path, identity: str, stored: StoredKind, limit: int | None = None
    ) -> FeatureCache:
        """The items of one kind and precision of the upstream of that identity, in memory or below `root`."""
        prefix = f"{VERSION} {identity} {stored.kind} {stored.precision}"
        if stored.mode != "disk":
            return cls(None, prefix, limit or MEMORY_BYTES)
        return cls(root / identity[:16] / f"{stored.kind}-{stored.precision}", prefix, limit)

    def __post_init__(self) -> None:
        self._packs = None if self.folder is None else Packs(self.folder)

    @property
    def total_bytes(self) -> int:
        """Of all items, those of other processes included."""
        return self._memory_bytes if self._packs is None else self._packs.total_bytes

    def key(self, content: bytes, how: str = "") -> str:
        """The key of what the upstream computes of `content`; `how`: whatever else decides that."""
        return hashlib.sha256((self.prefix + how).encode() + content).hexdigest()

    def get(self, key: str, layer: int | None = None) -> Item | None:
        """The item of that key on the CPU, or None if there is no whole one.

        layer: only that one of its frames, as `[frame, feature]`.
        """
        if self._packs is not None:
            item = self._read(self._packs, key, layer)
        else:
            item = self._memory.get(key)
            if item is not None and layer is not None:
                item = {FRAMES: item[FRAMES][layer]}
        self.hits += item is not None
        self.misses += item is None
        return item

    def has(self, key: str) -> bool:
        """Whether there is an item of that key, whole or not; counted as no use of it."""
        if self._packs is None:
            return key in self._memory
        return self._packs.find(key) or self._older(self._packs, key).exists()

    def put(self, key: str, item: Item, spare: int = 0) -> None:
        """Keep an item of tensors on the CPU, unless there is no room for it, or for `spare` bytes more."""
        if self.full:
            return
        data = b"" if self._packs is None else _packed(item)
        if len(data) > MOST_BYTES:
            return
        size = len(data) or sum(tensor.nbytes for tensor in item.values())
        try:
            fits = self.has_room(size)
            if fits and spare and not self.has_room(size + spare):
                return
            if fits and self._packs is not None:
                self._packs.append(key, data)
        except OSError:  # no room after all; the run does not depend on the cache
            fits = False
        if not fits:
            self.full = True
            if self.on_full is not None:
                self.on_full()
            return
        if self._packs is None:
            self._memory[key] = item
            self._memory_bytes += size
        self.written += 1

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more are within the limit, and leave RESERVE_BYTES on the disk."""
        return self.total_bytes + size <= self.capacity

    @property
    def capacity(self) -> int:
        """Bytes of all items that there is room for, those included that there are."""
        room = sys.maxsize if self.limit is None else self.limit
        if self.folder is None:
            return room
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        return min(room, max(self.total_bytes + free - RESERVE_BYTES, 0))

    def account(self) -> dict[str, Any]:
        """For the journal: the folder, how many items were used again, computed and stored, their bytes."""
        return {
            "folder": None if self.folder is None else str(self.folder),
            "used_again": self.hits,
            "computed": self.misses,
            "stored": self.written,
            "bytes": self.total_bytes,
            "in_memory": self._memory_bytes,
            "full": self.full,
        }

    def close(self) -> None:
        """Let go of the files, so that what is removed of them is free on the disk."""
        if self._packs is not None:
            self._packs.close()

    @staticmethod
    def _older(packs: Packs, key: str) -> Path:
        return packs.folder / key[:2] / f"{key}.safetensors"

    def _read(self, packs: Packs, key: str, layer: int | None) -> Item | None:
        """The item in a file; its bytes are checked when this process reads it first."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            if not packs.find(key):
                data = self._older(packs, key).read_bytes()
            elif layer is not None and key in self._checked:
                return {FRAMES: _layer(packs, key, layer)}
            else:
                data = packs.read(key)
            item = load(data)
        except (OSError, SafetensorError):
            return None
        checksum = item.pop(CHECKSUM, None)
        if key not in self._checked:
            if checksum is None or not checksum.equal(_checksum(item)):
                return None
            self._checked.add(key)
        return item if layer is None else {FRAMES: item[FRAMES][layer]}


def _packed(item: Item) -> bytes:
    from safetensors.torch import save

    return save({**item, CHECKSUM: _checksum(item)})


def _layer(packs: Packs, key: str, layer: int) -> torch.Tensor:
    """One layer of an item of frames, of which nothing else is read."""
    import torch

    start = 8 + int.from_bytes(packs.read(key, 0, 8), "little")
    about = json.loads(packs.read(key, 8, start - 8))[FRAMES]
    begin, end = about["data_offsets"]
    layers, *shape = about["shape"]
    size = (end - begin) // layers
    data = packs.read(key, start + begin + range(layers)[layer] * size, size)
    dtype: torch.dtype = getattr(torch, TYPES[about["dtype"]])
    # An utterance too short for a frame has none.
    return (
        torch.frombuffer(bytearray(data), dtype=dtype).view(shape)
        if data
        else torch.empty(shape, dtype=dtype)
    )


def _checksum(item: Item) -> torch.Tensor:
    import torch

    crc = 0
    for _, tensor in sorted(item.items()):
        crc = zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data, crc)
    return torch.tensor(crc)
