"""Text files of a corpus, and places to write to: what the system refuses becomes one sentence."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text


def read(path: Path, again: str) -> str:
    """The text of a UTF-8 file; UsageError, which ends with what to do, if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"{path} cannot be read as text ({reason}); {again}") from None


def lines(path: Path, again: str) -> list[tuple[str, str]]:
    """Each line of a text file after where it stands, such as `FILE line 3`; UsageError as of `read`."""
    # Not splitlines(): it breaks at separators that a text file's lines do not end at.
    found = read(path, again).removesuffix("\n").split("\n")
    return [(f"{path} line {number}", line) for number, line in enumerate(found, start=1)]


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write `path` into one sentence (UsageError)."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"cannot write {path} ({reason}: {error.filename or path}); name a folder that you may write "
            f"to and that has room"
        ) from None


def write(path: Path, text: str) -> Path:
    """Write `text` to `path`, whole or not at all, and return its whole path; UsageError as of `writing`."""
    with writing(path):
        atomic_write_text(path, text)
    return path.resolve()


def write_changed(path: Path, text: str) -> Path:
    """As `write`, but a file that holds this text already is left as it is."""
    if path.is_file() and path.read_bytes() == text.encode():
        return path.resolve()
    return write(path, text)


def write_once(cache: Path, stem: str, text: str) -> Path:
    """`text` in a file of `cache` that its hash names, so that no run changes the list of another."""
    path = cache / f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.txt"
    if not path.is_file():
        write(path, text)
    return path
