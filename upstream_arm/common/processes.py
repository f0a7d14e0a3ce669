"""What the processes that this project starts have in common: they end with their parent, and are told of."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent, of that process number, ends in any way."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def cores() -> int:
    """How many cores this process may use; macOS only tells how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def how_it_ended(code: int | None) -> str:
    """How a process ended, in words, from its exit code; below 0 it is a signal's number."""
    if code is None:
        return "has closed its pipe"
    if code >= 0:
        return f"ended with code {code}"
    hint = ""
    if -code in (signal.SIGKILL, signal.SIGBUS):
        hint = ", perhaps for want of memory"
    return f"was killed by signal {-code}{hint}"
