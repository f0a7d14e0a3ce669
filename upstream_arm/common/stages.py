"""A line for each part of a start that takes a while, so that nobody wonders what goes on."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO

SECONDS = 2.0
"""What is done sooner is not spoken of."""


@contextlib.contextmanager
def stage(what: str, stream: IO[str] | None = None) -> Iterator[None]:
    """Say `what ...` as soon as it takes longer than `SECONDS`, and how long it took when it is over.

    To standard error, unless to another `stream`.
    """
    place, began, ended = stream or sys.stderr, time.monotonic(), threading.Event()
    clear = "\r\x1b[K" if place.isatty() else ""  # of a bar that may stand there

    def tell() -> None:
        if not ended.wait(SECONDS):
            print(f"{clear}{what} ...", file=place, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
    if (took := time.monotonic() - began) > SECONDS:
        print(f"{clear}{what}: {took:.0f} s", file=place, flush=True)
