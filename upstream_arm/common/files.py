"""Files that are either whole or absent: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from upstream_arm.common.errors import UsageError
from upstream_arm.common.reading import read_text


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it replaces `path`, else it is removed.

    UsageError if something else than a file is there: a device such as /dev/null would be gone afterwards.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UsageError(f"{path} is a device or a pipe, which a file would replace; name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes files private; a result is meant to be read by the group like any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that no reader ever sees half of it."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` so that no reader ever sees half of it."""
    atomic_write_bytes(path, text.encode("utf-8"))


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """The rows as comma-separated values, one newline a line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def atomic_write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write `rows`, of which the first names the columns, as comma-separated values to `path`, whole."""
    atomic_write_text(path, csv_text(rows))


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a regular file; None if there is none, or something else in it."""
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def file_identity(name: str | None) -> str | None:
    """A file's SHA-256, a URL itself, None for no file."""
    if name is None or "://" in name:
        return name
    path = Path(name)
    return _sha256_of(path, path.stat().st_mtime_ns, path.stat().st_size)


@functools.lru_cache(maxsize=8)
def _sha256_of(path: Path, changed: int, size: int) -> str:
    """A plan's directory is asked for often, and checkpoints are large."""
    return sha256_file(path)
