"""Features of an upstream in memory or in files, each item found by what it was computed from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.features.options import StoredKind
from upstream_arm.common.files import atomic_path

if TYPE_CHECKING:
    import torch

    Item = dict[str, torch.Tensor]

MEMORY_BYTES = 4_000_000_000
"""What a cache in memory takes at most where no bound is given."""

RESERVE_BYTES = 2_000_000_000
"""Left free on the disk for checkpoints and results."""

VERSION = 3
"""To be raised when an item of the same key would hold something else."""

SUFFIX = ".safetensors"
FRAMES = "frames"
"""The tensor `[layer, frame, feature]` of an item of frames."""
CHECKSUM = "crc32"
"""In a file beside an item's tensors: the CRC-32 of their bytes, in the order of their names."""


@dataclass
class FeatureCache:
    """Items of tensors by key, up to a number of bytes; what does not fit is not stored, and the run goes on.

    The items of an upstream in files, where any number of processes may fill and read them:

        ROOT/                            RUNS/cache/features, or `features` in the folder of a run of QbE
          0f3a…/                         an upstream: the start of its identity (weights, code, options)
            frames-fp16/                 kind and precision: the `folder` of this class
              a7/                        the start of the key: file systems slow down with many files in one
                a7c0….safetensors        an utterance: its tensors, and `crc32` over their bytes
                .a7c0….….tmp             one that is being written, locked by its writer

    A file appears under its name only when it is whole, so a kill leaves nothing that is ever read; its
    temporary file is removed when the folder is next opened. A file that is cut short, or whose bytes are not
    those that were written, is not used and is written again.

    folder: of the files; None keeps items in memory. prefix: what all keys begin with, see `of_upstream`.
    limit: bytes of all items; None for what the disk has. held: bytes of the first items of files that are
    held in memory too. full: an item did not fit; on_full is called when the first
    does not. hits, misses, written: how often `get` found one and not, and how many were kept.
    total_bytes: of all items, of other processes' those at the opening.
    """

    folder: Path | None
    prefix: str = ""
    limit: int | None = None
    held: int = 0
    full: bool = False
    on_full: Callable[[], None] | None = None
    hits: int = 0
    misses: int = 0
    written: int = 0
    total_bytes: int = 0
    _memory: dict[str, Item] = field(default_factory=dict)
    _checked: set[str] = field(default_factory=set)

    @classmethod
    def of_upstream(
        cls, root: Path, identity: str, stored: StoredKind, limit: int | None = None
    ) -> FeatureCache:
        """The items of one kind and precision of the upstream of that identity, in memory or below `root`."""
        prefix = f"{VERSION} {identity} {stored.kind} {stored.precision}"
        if stored.mode != "disk":
            return cls(None, prefix, limit or MEMORY_BYTES)
        folder = root / identity[:16] / f"{stored.kind}-{stored.precision}"
        # Pooled items are so small that they are better held: in a quarter of this machine's memory at most.
        memory = min(MEMORY_BYTES, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)
        return cls(folder, prefix, limit, memory if stored.kind == "pooled" else 0)

    def __post_init__(self) -> None:
        for path in () if self.folder is None else self.folder.glob("??/*"):
            with contextlib.suppress(OSError):  # gone by now, or still being written
                if path.suffix == SUFFIX:
                    self.total_bytes += path.stat().st_size
                elif path.suffix == ".tmp":
                    with path.open("rb") as file:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        path.unlink()

    def key(self, content: bytes, how: str = "") -> str:
        """The key of what the upstream computes of `content`; `how`: whatever else decides that."""
        return hashlib.sha256((self.prefix + how).encode() + content).hexdigest()

    def get(self, key: str, layer: int | None = None) -> Item | None:
        """The item of that key on the CPU, or None if there is no whole one.

        layer: only that one of its frames, as `[frame, feature]`.
        """
        item = self._memory.get(key)
        if item is not None and layer is not None:
            item = {FRAMES: item[FRAMES][layer]}
        elif item is None and self.folder is not None:
            item = self._read(key, layer)
            item = self._hold(key, item) if layer is None else item
        self.hits += item is not None
        self.misses += item is None
        return item

    def put(self, key: str, item: Item) -> None:
        """Keep an item of tensors on the CPU, unless there is no room for it."""
        size = _size(item)
        if self.full:
            return
        if not self.has_room(size):
            self._fill()
            return
        if self.folder is None:
            self._memory[key] = item
        else:
            try:
                self._write(self._path(key), item)
            except FileNotFoundError:  # taken for a dead writer's before it was locked
                return
            except OSError:  # no room after all; the run does not depend on the cache
                self._fill()
                return
            self._hold(key, item)
        self.written += 1
        self.total_bytes += size

    def _fill(self) -> None:
        self.full = True
        if self.on_full is not None:
            self.on_full()

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more are within the limit, and leave RESERVE_BYTES on the disk."""
        if self.limit is not None and self.total_bytes + size > self.limit:
            return False
        if self.folder is None:
            return True
        self.folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.folder).free - size > RESERVE_BYTES

    def account(self) -> dict[str, Any]:
        """For the journal: the folder, how many items were used again, computed and stored, and the room."""
        return {
            "folder": None if self.folder is None else str(self.folder),
            "used_again": self.hits,
            "computed": self.misses,
            "stored": self.written,
            "bytes": self.total_bytes,
            "full": self.full,
        }

    @staticmethod
    def _write(path: Path, item: Item) -> None:
        from safetensors.torch import save

        # Locked until it has its name: by that other processes know that its writer is alive.
        with contextlib.ExitStack() as locked, atomic_path(path) as temporary:
            file = locked.enter_context(temporary.open("rb+"))
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            file.write(save({**item, CHECKSUM: _checksum(item)}))
            file.flush()

    def _read(self, key: str, layer: int | None) -> Item | None:
        """The item in a file; its bytes are checked when this process reads it first."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._path(key), framework="pt") as file:
                if layer is not None and key in self._checked:
                    return {FRAMES: file.get_slice(FRAMES)[layer]}
                item = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, SafetensorError):
            return None
        checksum = item.pop(CHECKSUM, None)
        if key not in self._checked:
            if checksum is None or not checksum.equal(_checksum(item)):
                return None
            self._checked.add(key)
        return item if layer is None else {FRAMES: item[FRAMES][layer]}

    def _hold(self, key: str, item: Item | None) -> Item | None:
        """Hold an item in memory if there is room; an item read is copied, since it is a view of its file."""
        if item is not None and self.held >= _size(item):
            self.held -= _size(item)
            self._memory[key] = item = {name: tensor.clone() for name, tensor in item.items()}
        return item

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}{SUFFIX}"


def _size(item: Item) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in item.values())


def _checksum(item: Item) -> torch.Tensor:
    import torch

    crc = 0
    for _, tensor in sorted(item.items()):
        crc = zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data, crc)
    return torch.tensor(crc)
