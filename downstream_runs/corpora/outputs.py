"""Writing to places that the user names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from upstream_arm.common.errors import UsageError


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
