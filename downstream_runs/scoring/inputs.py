"""How every scorer reads a file: whole, plain, bounded, and line by line.

What cannot be read this way ends in a ScoringError that says what was found: a folder, a pipe or a device
instead of a file, more text than LIMIT (also of what a small `.gz` unpacks to), a line longer than
LINE_LIMIT, bytes that are no UTF-8.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from downstream_runs.scoring.names import ScoringError
from upstream_arm.common.reading import open_regular

#: Bytes of text that are read of one file: eight times SUPERB's largest, QbE's list of 336,444 trials.
LIMIT = 256 << 20
#: Bytes in one line, so that no single transcript keeps the edit distance busy for hours.
LINE_LIMIT = 1 << 20
#: Scores and times reach no further: beyond it differences and slopes overflow.
NUMBER_LIMIT = 1e300
FINITE = f"a finite number, no further from 0 than {NUMBER_LIMIT:g}, was expected"

_BAD = (OSError, EOFError, zlib.error)
_BOM = b"\xef\xbb\xbf"


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of every line that is not blank, without the white space at its end (`.gz` allowed).

    Lines end in a line feed, with or without a carriage return before it; other separators of lines that
    Unicode knows belong to the text. Raises ScoringError as the module says.
    """
    wanted = "a text file in UTF-8"
    with _opened(path, wanted) as file:
        read = 0
        for number, raw in enumerate(iter(lambda: _read(path, wanted, file.readline), b""), start=1):
            read += len(raw)
            _within(path, read)
            if raw == b"\n":
                continue
            if len(raw) > LINE_LIMIT:
                raise ScoringError(
                    f"{path}, line {number} has more than {LINE_LIMIT:,} bytes, {wanted} with shorter lines "
                    "was expected"
                )
            line = _decoded(path, number, raw.removeprefix(_BOM) if number == 1 else raw)
            if line.strip():
                yield number, line.rstrip()


def blocks(path: Path, wanted: str) -> Iterator[bytes]:
    """The bytes of a file (`.gz` unpacked) in blocks. wanted: what the file should be, for the messages."""
    with _opened(path, wanted) as file:
        read = 0
        for block in iter(lambda: _read(path, wanted, file.read), b""):
            read += len(block)
            _within(path, read)
            yield block


def number(text: str) -> float:
    """A finite number as files of scores and times write it, nan for anything else.

    Python's own reading would also take the underscores of `1_0`.
    """
    try:
        value = math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan
    return value if abs(value) <= NUMBER_LIMIT else math.nan


def short(text: str) -> str:
    """A text as a message quotes it."""
    return repr(text if len(text) <= 60 else text[:60] + "...")


@contextlib.contextmanager
def _opened(path: Path, wanted: str) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """The file, unpacked where its name ends in `.gz`; without waiting for a writer where it is a pipe."""
    try:
        file = open_regular(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, wanted) from None
    with file:
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                yield unpacked
        else:
            yield file


def _read(path: Path, wanted: str, read: Callable[[int], bytes]) -> bytes:
    try:
        return read(LINE_LIMIT + 1)
    except _BAD as error:
        raise _unreadable(path, error, wanted) from None


def _unreadable(path: Path, error: Exception, wanted: str) -> ScoringError:
    reason = getattr(error, "strerror", None) or error
    return ScoringError(f"{path} cannot be read ({reason}), {wanted} was expected")


def _within(path: Path, read: int) -> None:
    if read > LIMIT:
        raise ScoringError(
            f"{path} holds more than {LIMIT >> 20} MiB of text (unpacked), which is the most that is read: "
            "score it in parts"
        )


def _decoded(path: Path, number: int, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ScoringError(
            f"{path}, line {number} cannot be read (byte {raw[error.start]:#04x} at {error.start + 1} is no "
            "UTF-8), a text file in UTF-8 was expected: convert it with iconv"
        ) from None
    for character, name in (("\0", "a zero byte"), ("\r", "a carriage return")):
        if character in text.removesuffix("\n").removesuffix("\r"):
            raise ScoringError(
                f"{path}, line {number} holds {name}, a text file in UTF-8 whose lines end in a line feed "
                "was expected"
            )
    return text
