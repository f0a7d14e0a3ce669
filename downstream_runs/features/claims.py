"""Which parts of a corpus a process encodes just now, so that no other does the same."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

NAME = "encoding.lock"
"""The file beside the packs, of which each part of a corpus has a byte that a process locks."""


class Claims:
    """Locks that end with their process. folder: of the store; None for a store that nobody shares."""

    def __init__(self, folder: Path | None) -> None:
        self._file: int | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o666)

    @contextlib.contextmanager
    def held(self, content: bytes, wait: bool) -> Iterator[bool]:
        """Hold the part that begins with the utterance of that digest; False if another process has it.

        wait: until it has not. Where a file system has no locks every process does all of the work.
        """
        place, mine = int.from_bytes(content[:5], "big"), True
        if self._file is not None:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, place)
            except (BlockingIOError, PermissionError):
                mine = False
            except OSError:
                pass
        try:
            yield mine
        finally:
            if self._file is not None and mine:
                with contextlib.suppress(OSError):
                    fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def close(self) -> None:
        """Let go of the file, and of what is held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
