"""Features in memory or in files, each item found by what it was computed from.

A file appears under its name only when it is whole, so any number of processes may fill and read one store,
and a kill leaves nothing that is ever read. A file that is cut short, or whose bytes are not those that were
written, is not used and is written again.
"""

from __future__ import annotations

import shutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.files import atomic_write_bytes

if TYPE_CHECKING:
    import torch

    Item = dict[str, torch.Tensor]

RESERVE_BYTES = 2_000_000_000
"""Left free on the disk for checkpoints and results."""

SUFFIX = ".safetensors"
CHECKSUM = "crc32"
"""In a file beside an item's tensors: the CRC-32 of their bytes, in the order of their names."""


@dataclass
class Store:
    """Items by key, up to a number of bytes; what does not fit is not stored, and the run goes on without.

    folder: of the files; None keeps items in memory. limit: bytes of all items; None for no other limit than
    the disk's free space. held: bytes of the first items that are also held in memory, so that their files
    are read once. hits, misses, written: how often `get` found one and not, and how many were kept.
    """

    folder: Path | None
    limit: int | None = None
    held: int = 0
    full: bool = False
    hits: int = 0
    misses: int = 0
    written: int = 0
    _memory: dict[str, Item] = field(default_factory=dict)
    _bytes: int | None = None
    _checked: set[str] = field(default_factory=set)

    def get(self, key: str) -> Item | None:
        """The item of that key on the CPU, or None if there is no whole one."""
        found = self._memory.get(key)
        if found is None and self.folder is not None:
            found = self._hold(key, self._read(key))
        self.hits += found is not None
        self.misses += found is None
        return found

    def put(self, key: str, item: Item) -> None:
        """Keep an item of tensors on the CPU, unless there is no room for it."""
        size = _size(item)
        if self.full or not self._fits(size):
            self.full = True
            return
        if self.folder is None:
            self._memory[key] = item
        else:
            from safetensors.torch import save

            try:
                atomic_write_bytes(self._path(key), save({**item, CHECKSUM: _checksum(item)}))
            except OSError:  # no room after all; the run does not depend on the store
                self.full = True
                return
            self._hold(key, item)
        self.written += 1
        self._bytes = self.bytes + size

    @property
    def bytes(self) -> int:
        """Bytes of all items; of those that other processes wrote, what was there at the first look."""
        if self._bytes is None:
            files = () if self.folder is None else self.folder.rglob(f"*{SUFFIX}")
            self._bytes = sum(path.stat().st_size for path in files)
        return self._bytes

    def _read(self, key: str) -> Item | None:
        """The item in a file; its bytes are checked when this process reads it first."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            item = dict(load_file(self._path(key)))
        except (OSError, SafetensorError):
            return None
        checksum = item.pop(CHECKSUM, None)
        if key not in self._checked:
            if checksum is None or not checksum.equal(_checksum(item)):
                return None
            self._checked.add(key)
        return item

    def _hold(self, key: str, item: Item | None) -> Item | None:
        """Hold an item in memory if there is room; an item read is copied, since it is a view of its file."""
        if item is not None and self.held >= _size(item):
            self.held -= _size(item)
            self._memory[key] = item = {name: tensor.clone() for name, tensor in item.items()}
        return item

    def _fits(self, size: int) -> bool:
        if self.limit is not None and self.bytes + size > self.limit:
            return False
        if self.folder is None:
            return True
        self.folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.folder).free - size > RESERVE_BYTES

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        # 256 folders: file systems slow down with too many files in one.
        return self.folder / key[:2] / f"{key}{SUFFIX}"


def _size(item: Item) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in item.values())


def _checksum(item: Item) -> torch.Tensor:
    import torch

    found = 0
    for _, tensor in sorted(item.items()):
        found = zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data, found)
    return torch.tensor(found)
