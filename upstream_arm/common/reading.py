"""Reading files of a folder that anybody may have put something into: regular ones, of a sane size.

A named pipe would be waited for without end, and /dev/zero has none. Both are an OSError here, whose
`strerror` is the reason in words, so that they are told as any other file that cannot be read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

#: Of one document: the largest that a run writes (a result, a plan) is far below a megabyte.
DOCUMENT_BYTES = 64 << 20
#: Of a table or journal: QbE's trials are 20 MB, a journal of 200,000 steps is 1 MB.
TABLE_BYTES = 1 << 30

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path) -> IO[bytes]:
    """A regular file, open for reading; OSError for anything else."""
    # Without O_NONBLOCK, opening a named pipe waits for somebody who writes into it.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        kind = next((name for test, name in _KINDS if test(mode)), "no file")
        raise OSError(errno.EINVAL, f"it is {kind}, a regular file was expected", str(path))
    return open(handle, "rb")


def read_bytes(path: Path, limit: int = DOCUMENT_BYTES) -> bytes:
    """The content of a regular file of at most `limit` bytes; OSError for anything else."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            reason = f"it has {size:,} bytes, at most {limit:,} were expected"
            raise OSError(errno.EFBIG, reason, str(path))
        return file.read(limit)  # not more where it has grown since


def read_text(path: Path, limit: int = DOCUMENT_BYTES, errors: str = "strict") -> str:
    """The same as UTF-8, with line ends as \\n; UnicodeDecodeError (a ValueError) if `errors` are strict."""
    text = read_bytes(path, limit).decode("utf-8", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
