"""The downstream tasks, by name; a task's module is imported when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from downstream_runs.errors import UsageError

if TYPE_CHECKING:
    from downstream_runs.tasks.spec import Recipe, TaskSpec

# name -> (module that defines TASK, other names that users type)
_TASKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "asr": ("downstream_runs.tasks.asr", ("speech-recognition", "librispeech-asr")),
}


def names() -> tuple[str, ...]:
    """The names of the tasks, in SUPERB's order."""
    return tuple(_TASKS)


def get(name: str) -> TaskSpec:
    """The task of that name or alias; UsageError with near names for an unknown one."""
    wanted = name.strip().lower().replace("_", "-")
    for task, (module, aliases) in _TASKS.items():
        if wanted == task or wanted in aliases:
            spec: TaskSpec = importlib.import_module(module).TASK
            return spec
    known = {alias: task for task, (_, aliases) in _TASKS.items() for alias in (task, *aliases)}
    raise UsageError(
        f"there is no task {name!r}{near(wanted, known)}; the tasks are: {', '.join(names())}, "
        "as `python -m downstream_runs list` shows"
    )


def recipe(task: TaskSpec, name: str) -> Recipe:
    """The task's recipe of that name; UsageError with near names for an unknown one."""
    if name not in task.recipes:
        raise UsageError(
            f"task {task.name} has no recipe {name!r}{near(name, task.recipes)}; "
            f"its recipes are: {', '.join(task.recipes)}"
        )
    return task.recipes[name]


def near(wanted: str, known: object) -> str:
    """`, did you mean 'x'?` for the nearest known name, or nothing; swapped letters count as near."""
    options = [str(option) for option in known]  # type: ignore[attr-defined]
    swapped = [option for option in options if sorted(option) == sorted(wanted)]
    close = swapped or difflib.get_close_matches(wanted, options, n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""
