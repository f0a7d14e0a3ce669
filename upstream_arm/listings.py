"""What a command has seen of folders and files, so that it asks the file system for each of them once.

Nothing is remembered outside `remembering`. Within it a folder's names are taken as they were as long as its
time of change is the same, which a name that is added, removed or renamed in it changes; it is asked for at
most once between two calls of `look_again`. The size of a file, and its own time of change, are taken as long
as its folder is the same: a file that is written over in its place while the command runs is noticed by the
next command, and by whoever reads its contents.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from upstream_arm.common.files import atomic_write_bytes

Names = Mapping[str, bool | None]
"""The names in a folder, in the file system's order: True for a folder, False for a file, None for others."""

SETTLED_NS = 2_000_000_000
"""Of some file systems the clock's step: what changed less before it was listed may change without a sign."""


class Status(NamedTuple):
    """Bytes, time of change in nanoseconds, and whether it is a regular file."""

    size: int
    changed_ns: int
    is_file: bool

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Status:
        """The file system's own word; OSError."""
        found = os.stat(path)
        return cls(found.st_size, found.st_mtime_ns, S_ISREG(found.st_mode))


@dataclass
class Folder:
    """What is known of a folder that changed at that time. asked: in which look that was last asked for."""

    changed_ns: int
    settled: bool
    asked: int
    names: Names | None = None
    files: dict[str, Status] = field(default_factory=dict)


class Memory:
    """All that is known, by the folders' paths."""

    def __init__(self) -> None:
        self._folders: dict[str, Folder] = {}
        self._look = 0

    def __bool__(self) -> bool:
        return bool(self._folders)

    def look_again(self) -> None:
        """From here on each folder is asked once more whether it has changed."""
        self._look += 1

    def folder(self, path: str) -> Folder:
        """What is known of a folder; nothing is of one that has changed. OSError where there is none."""
        known = self._folders.get(path)
        if known is not None and known.asked == self._look:
            return known
        changed_ns = os.stat(path).st_mtime_ns
        if known is None or known.changed_ns != changed_ns or not known.settled:
            settled = time.time_ns() - changed_ns > SETTLED_NS
            known = self._folders[path] = Folder(changed_ns, settled, self._look)
        known.asked = self._look
        return known

    def forget(self) -> None:
        """Everything."""
        self._folders.clear()

    def save(self, path: Path) -> None:
        """Write it for the other processes of the command."""
        known = {
            name: [folder.changed_ns, folder.names, folder.files]
            for name, folder in self._folders.items()
            if folder.settled
        }
        text = json.dumps(known).encode()
        atomic_write_bytes(path, hashlib.sha256(text).hexdigest().encode() + b"\n" + text)

    def load(self, path: Path) -> None:
        """Take over what `save` wrote; nothing, where that is absent or damaged."""
        with contextlib.suppress(OSError):
            digest, _, text = path.read_bytes().partition(b"\n")
            if hashlib.sha256(text).hexdigest().encode() == digest:
                self.look_again()
                for name, (changed_ns, names, files) in json.loads(text).items():
                    known = {file: Status(*status) for file, status in files.items()}
                    self._folders[name] = Folder(changed_ns, True, 0, names, known)


_memory: Memory | None = None


def current() -> Memory | None:
    """The command's memory; None outside `remembering`."""
    return _memory


def look_again() -> None:
    """From here on each folder is asked once more whether it has changed."""
    if _memory is not None:
        _memory.look_again()


def forget() -> None:
    """Give back the room: some 200 bytes a file."""
    if _memory is not None:
        _memory.forget()


@contextlib.contextmanager
def remembering(file: Path | None = None) -> Iterator[Memory]:
    """Within it, what is seen is remembered, beginning with what was saved in `file`."""
    global _memory
    before, _memory = _memory, Memory()
    try:
        if file is not None:
            _memory.load(file)
        yield _memory
    finally:
        _memory = before


def status(path: Path) -> Status:
    """Of a file, with links followed; OSError where there is none."""
    if _memory is None:
        return Status.of(path)
    parent, name = os.path.split(path)
    files = _memory.folder(parent or os.curdir).files
    found = files.get(name)
    if found is None:
        found = files[name] = Status.of(path)
    return found


def is_file(path: Path) -> bool:
    """Whether a regular file is there, or a link to one."""
    try:
        return status(path).is_file
    except OSError:
        return False
