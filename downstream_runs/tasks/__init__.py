"""The downstream tasks, by name: each module of this folder that defines TASK is one."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import near

if TYPE_CHECKING:
    from downstream_runs.core.task import TaskSpec

# SUPERB's order; a task that it does not have comes after these.
ORDER = ("pr", "asr", "ks", "qbe", "sid", "asv", "sd", "ic", "sf", "er")


@functools.cache
def _tasks() -> Mapping[str, TaskSpec]:
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    found: dict[str, TaskSpec] = {
        module.TASK.name: module.TASK for module in modules if hasattr(module, "TASK")
    }
    known = [name for name in ORDER if name in found]
    return {name: found[name] for name in [*known, *sorted(found.keys() - set(known))]}


def names() -> tuple[str, ...]:
    """The names of the tasks, in SUPERB's order."""
    return tuple(_tasks())


def get(name: str) -> TaskSpec:
    """The task of that name or alias; UsageError with near names for an unknown one."""
    wanted = name.strip().lower().replace("_", "-")
    known = {alias: task for task, spec in _tasks().items() for alias in (task, *spec.aliases)}
    if wanted not in known:
        raise UsageError(
            f"there is no task {name!r}{near(wanted, known)}; the tasks are: {', '.join(names())}, "
            "as `python -m downstream_runs list` shows"
        )
    return _tasks()[known[wanted]]
