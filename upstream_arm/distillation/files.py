"""Files that are either whole or absent."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from upstream_arm.common.errors import UpstreamError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes its place, else it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        written = Path(folder) / path.name
        yield written
        with written.open("rb+") as file:
            os.fsync(file.fileno())
        # Some writers make files private; a result is meant to be read by the group like any other file.
        umask = os.umask(0)
        os.umask(umask)
        written.chmod(0o666 & ~umask)
        os.replace(written, path)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 so that no reader ever sees half of it."""
    with replacing(path) as written:
        written.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process.

    Raises:
        UpstreamError: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UpstreamError(
                f"{folder} is in use by another run; wait for it to end, stop it, or give another --out"
            ) from None
        yield
