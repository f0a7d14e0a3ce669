"""Items of bytes by key in a few files that only grow, for any number of processes."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

INDEX, PACK = ".index", ".pack"
MOST_BYTES = 2**31 - 4096
"""Of an item: what Linux reads at once."""
FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT


class Packs:
    """The items of a folder, which exists when the first is appended.

    One process at a time writes a pack, and locks its index meanwhile; a process that writes takes the first
    of its host that is free. An item is appended to the pack, then its line to the index: a kill in between
    leaves bytes that no line names, which are never read and count with the next item of that pack.

    total_bytes: of all packs, others' as of the last look at their indices.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.total_bytes = 0
        self._places: dict[str, tuple[str, int, int]] = {}  # the name of a pack, where in it, how many bytes
        self._seen: dict[str, int] = {}  # of each index, the bytes that were read
        self._ends: dict[str, int] = {}
        self._files: dict[str, int] = {}
        self._own: tuple[str, int, int] | None = None
        self._look()

    def find(self, key: str) -> bool:
        """Whether there is an item of that key; another process may have just written it."""
        if key not in self._places:
            self._look()
        return key in self._places

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        """An item's bytes, or `size` of them from `start` on; OSError if there are not so many."""
        name, offset, whole = self._places[key]
        if name not in self._files:
            self._files[name] = os.open(self.folder / (name + PACK), os.O_RDONLY)
        size = whole - start if size is None else size
        data = os.pread(self._files[name], size, offset + start)
        if len(data) < size:
            raise OSError(f"{self.folder / (name + PACK)} was cut short")
        return data

    def append(self, key: str, data: bytes) -> None:
        """Write an item, in place of one of the same key if there is one; OSError if there is no room."""
        if self._own is None:
            self._own = self._take()
        name, index, pack = self._own
        offset = os.lseek(pack, 0, os.SEEK_END)
        _write(pack, data)
        _write(index, f"{key} {offset} {len(data)}\n".encode("ascii"))
        self._keep(key, name, offset, len(data))

    def close(self) -> None:
        """Let go of all files; they are opened again when they are needed."""
        for file in (*self._files.values(), *(self._own or ())[1:]):
            os.close(file)
        self._files, self._own = {}, None

    def __del__(self) -> None:
        self.close()

    def _keep(self, key: str, name: str, offset: int, size: int) -> None:
        self._places[key] = name, offset, size
        before = self._ends.get(name, 0)
        self._ends[name] = max(before, offset + size)
        self.total_bytes += self._ends[name] - before

    def _look(self) -> None:
        """Take in what the indices have had appended."""
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                name, suffix = os.path.splitext(entry.name)
                with contextlib.suppress(OSError):
                    if suffix == INDEX and entry.stat().st_size > self._seen.get(name, 0):
                        for key, offset, size in self._lines(name):
                            self._keep(key, name, offset, size)

    def _lines(self, name: str) -> Iterator[tuple[str, int, int]]:
        """The whole lines of an index that are new; a line that a kill cut short is passed over."""
        seen = self._seen.get(name, 0)
        with (self.folder / (name + INDEX)).open("rb") as file:
            file.seek(seen)
            whole, end, _ = file.read().rpartition(b"\n")
        self._seen[name] = seen + len(whole) + len(end)
        for line in whole.split(b"\n"):
            with contextlib.suppress(ValueError):
                key, *numbers = line.split()
                offset, size = map(int, numbers)
                if 0 <= offset < 2**62 and 0 < size <= MOST_BYTES:
                    yield key.decode("ascii"), offset, size

    def _take(self) -> tuple[str, int, int]:
        """The name and the open files, index and pack, of a pack that no other process writes."""
        host = socket.gethostname()
        for number in itertools.count():
            path = self.folder / f"{host}-{number}{INDEX}"
            new = not path.exists()
            try:
                index = os.open(path, FLAGS | (os.O_EXCL if new else 0), 0o666)
            except FileExistsError:  # made by another process in between
                continue
            try:
                fcntl.flock(index, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                # Without locks on this file system, only what this process has just made is its own.
                if isinstance(error, BlockingIOError) or not new:
                    os.close(index)
                    continue
            size = os.fstat(index).st_size
            if size and os.pread(index, 1, size - 1) != b"\n":
                _write(index, b"\n")
            pack = os.open(path.with_suffix(PACK), FLAGS, 0o666)
            return path.stem, index, pack
        raise AssertionError("there are numbers enough")


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
