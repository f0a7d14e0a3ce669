"""Tasks of code that is not this project's: `TASK` of a file (`--task-file`), or a plug-in of a package.

A package names its tasks in the entry-point group `superb.tasks`: the task's name, and its TaskSpec or a
function that returns it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from downstream_runs import tasks
from downstream_runs.core.task import Recipe, TaskSpec
from downstream_runs.upstreams import own_code
from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import shown

GROUP, ATTRIBUTE = "superb.tasks", "TASK"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _FileTask(TaskSpec):
    """A task of a file: another process, which cannot import the file's functions, runs it anew."""

    def __reduce__(self) -> tuple[Callable[..., TaskSpec], tuple[Any, ...]]:
        return _again, (self.name, self.own, dict(self.recipes))


def names() -> dict[str, str]:
    """The tasks that installed packages offer, and where; nothing of them is imported."""
    return {name: point.value for name, point in own_code.plugins(GROUP).items()}


def installed(name: str) -> TaskSpec:
    """The task of an installed package; UsageError if it cannot be used."""
    made = own_code.plugin(name, GROUP)
    release, sha256 = own_code.code_of_plugin(name, GROUP)
    origin = f"the plug-in {name} ({names()[name]})"
    task = _checked(made, origin)
    if task.name != name:
        raise UsageError(f"{origin} is a task called {shown(task.name)}, {name!r} was expected as in {GROUP}")
    return dataclasses.replace(task, own={"plugin": name, "release": release, "code_sha256": sha256})


def of_file(file: Path) -> TaskSpec:
    """The task that a file calls TASK; UsageError if it cannot be used."""
    path = file.expanduser().absolute()
    own_code.check_file(path, ATTRIBUTE)
    sha256 = own_code.sha256_of_file(path)
    task = _checked(own_code.load(path, ATTRIBUTE), str(path))
    parts = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    return _FileTask(**{**parts, "own": {"file": str(path), "code_sha256": sha256}})


def of_record(name: str, own: Mapping[str, Any]) -> TaskSpec:
    """The task that made a result, by what the result says of it; UsageError if its code is another now."""
    task = None if "file" in own else _installed_again(name)
    found = own_code.sha256_of_file(Path(own["file"])) if task is None else (task.own or {})["code_sha256"]
    if found != own["code_sha256"]:  # before a file is run
        raise UsageError(
            f"the code of the task {name} has changed: its SHA-256 is {found[:12]}, the result has "
            f"{own['code_sha256'][:12]}; restore it, or make a new result"
        )
    return of_file(Path(own["file"])) if task is None else task


def _installed_again(name: str) -> TaskSpec:
    if name not in names():
        raise UsageError(f"no installed package offers the task {name} of the result ({GROUP}); install it")
    return installed(name)


def _again(name: str, own: Mapping[str, Any], recipes: Mapping[str, Recipe]) -> TaskSpec:
    return dataclasses.replace(of_record(name, own), recipes=recipes)


def _checked(made: Any, origin: str) -> TaskSpec:
    """A task, or what a function makes; UsageError if it is none, or has a name that cannot be used."""
    task = made if isinstance(made, TaskSpec) or not callable(made) else made()
    if not isinstance(task, TaskSpec):
        raise UsageError(f"{origin} gives {shown(type(task).__name__)}, a TaskSpec was expected")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", task.name) or task.name in tasks.known():
        raise UsageError(
            f"{origin} calls its task {shown(task.name)}, expected small letters, digits and dashes, and no "
            "name of SUPERB's tasks: give it another name"
        )
    if "superb" not in task.recipes:
        raise UsageError(
            f"{origin} has no recipe `superb`, which is the default and what others are held against"
        )
    return task
