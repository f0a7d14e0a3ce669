"""The ten SUPERB downstream tasks, run and scored from one command, or from Python.

>>> from downstream_runs import evaluate, load_results

`evaluate` runs tasks on an upstream, `load_results` reads what runs have left behind; both are in
`downstream_runs.api` and are imported when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from downstream_runs.api import Results, evaluate, load_results

__all__ = ["Results", "evaluate", "load_results"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from downstream_runs import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
