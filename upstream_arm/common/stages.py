"""What takes a while says so: lines for each part of a start; for what is counted bars, or lines of a log."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import IO, Any

SECONDS = 2.0
"""What is done sooner is not spoken of."""

REDRAWN, LOGGED = 0.1, 30.0
"""Seconds from one showing of a bar to the next: on a terminal, and as lines of a log."""

UP = "\x1b[A"
"""How tqdm comes back from a bar below another one."""

LINE = "{desc}: {n_fmt} of {total_fmt}, {elapsed} gone, {remaining} left, {rate_fmt}{postfix}"
"""A bar in a log, in tqdm's words. What is left is reckoned from the newest rates, not from the mean."""


@contextlib.contextmanager
def stage(what: str, stream: IO[str] | None = None) -> Iterator[None]:
    """Say `what ...` as soon as it takes longer than `SECONDS`, and how long it took when it is over.

    To standard error, unless to another `stream`.
    """
    place, began, ended = stream or sys.stderr, time.monotonic(), threading.Event()
    clear = "\r\x1b[K" if place.isatty() else ""  # of a bar that may stand there

    told = False

    def tell() -> None:
        nonlocal told
        if not ended.wait(SECONDS):
            told = True
            print(f"{clear}{what} ...", file=place, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
    if (took := time.monotonic() - began) > SECONDS:
        if not told:  # on a busy machine the teller may come too late
            print(f"{clear}{what} ...", file=place, flush=True)
        print(f"{clear}{what}: {took:.0f} s", file=place, flush=True)


class _Lines:
    """A stream for a bar that no terminal shows: each time that it is drawn is a line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write what is more than the way back to the beginning of the line."""
        if line := text.replace(UP, "").strip():
            self._stream.write(f"{line}\n")

    def flush(self) -> None:
        """As of any stream."""
        self._stream.flush()


def bar(
    items: Iterable[Any] | None,
    desc: str,
    total: int | None = None,
    *,
    initial: int = 0,
    unit: str = "it",
    stream: IO[str] | None = None,
    leave: bool = False,
    delay: float = 0.0,
    disable: bool = False,
) -> Any:
    """tqdm around `items`: a bar on a terminal, else a line every LOGGED seconds and one at the end.

    initial: how many were done before, which are no part of the rate. leave: whether a terminal keeps it.
    delay: seconds in which nothing is shown. disable: whether nothing ever is.
    """
    from tqdm import tqdm

    place = stream or sys.stderr
    shown: dict[str, Any] = {"initial": initial, "unit": unit, "delay": delay, "disable": disable}
    if place.isatty():
        shown |= {"file": place, "dynamic_ncols": True, "mininterval": REDRAWN, "leave": leave}
    else:
        # Of a fixed number of items tqdm would count no further, and then show the same number again.
        shown |= {
            "file": _Lines(place),
            "bar_format": LINE,
            "mininterval": LOGGED,
            "leave": True,
            "miniters": 1,
        }
    return tqdm(items, desc, total, **shown)
