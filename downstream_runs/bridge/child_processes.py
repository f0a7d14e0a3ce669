"""Gives the bridge to processes that a bridged one starts anew.

A process started by `spawn`, by `forkserver` (Python's default from 3.14 on) or by joblib inherits nothing:
it unpickles what it is to do, and imports modules of s3prl to do so. What is pickled first is the bridge.
"""

from __future__ import annotations

from multiprocessing.process import BaseProcess
from typing import Any

_KEY = "_downstream_runs_bridge"


class _Bridge:
    """Supplies the bridge where it is unpickled."""

    def __reduce__(self) -> Any:
        return _supply, ()


def _supply() -> None:
    from downstream_runs import bridge

    bridge.supply()


def _state(process: object) -> dict[str, Any]:
    # Pickle keeps the order of a dictionary, and a process's target and arguments are in its own.
    return {_KEY: _Bridge(), **vars(process)}


def install() -> None:
    """Have every process that is pickled from now on carry the bridge; joblib's are of the same class."""
    BaseProcess.__getstate__ = _state  # type: ignore[assignment]
