"""Text files of a corpus, and places to write to: what the system refuses becomes one sentence."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text

if TYPE_CHECKING:
    import pandas


def digest(pieces: Iterable[str | bytes]) -> str:
    """SHA-256 over the pieces one after another, texts as UTF-8."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece.encode("utf-8", "surrogateescape") if isinstance(piece, str) else piece)
    return found.hexdigest()


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


def table(path: Path, columns: Sequence[str], again: str, **options: Any) -> pandas.DataFrame:
    """A comma-separated table as pandas reads it; UsageError if it cannot be read or lacks a column."""
    import pandas

    try:
        frame = pandas.read_csv(path, **options)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{path} cannot be read as a table ({reason.lower()}); {again}") from None
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise UsageError(f"{path} has no column {missing[0]}, expected {', '.join(columns)}; {again}")
    return frame


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
    """Write `text` to `path`, whole or not at all, unless it holds that text already; returns its whole path.

    UsageError as of `writing`.
    """
    with writing(path):
        if not path.is_file() or path.read_bytes() != text.encode():
            atomic_write_text(path, text)
    return path.resolve()


def write_once(cache: Path, stem: str, text: str) -> Path:
    """`text` in a file of `cache` that its hash names, so that no run changes the list of another."""
    return write(cache / f"{stem}-{digest([text])[:16]}.txt", text)
