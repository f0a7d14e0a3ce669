"""The downstream tasks, by name: each module of this folder that defines TASK is one.

tasks.json has what they are, and the modules the functions that do their work.
"""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import Corpus
from downstream_runs.core.results import OWN_TASK, Result
from downstream_runs.core.task import Cost, MetricSpec, Score, Selection, TaskSpec
from downstream_runs.recipes import Recipes
from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import near, shown

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
    if wanted not in known():
        from downstream_runs.tasks import own, plugins

        if wanted in plugins.names():
            return plugins.installed(wanted)
        if wanted in own.KINDS:
            raise UsageError(
                f"{wanted} is a kind of task for a table of your own: add --table FILE, see docs/own-task.md"
            )
        raise UsageError(
            f"there is no task {name!r}{near(wanted, (*known(), *plugins.names()))}; the tasks are: "
            f"{', '.join(names())}, as `python -m downstream_runs list` shows"
        )
    return _tasks()[known()[wanted]]


def known() -> Mapping[str, str]:
    """Every name and alias of a task, and the task's name."""
    return {alias: task for task, spec in _tasks().items() for alias in (task, *spec.aliases)}


def of_result(result: Result, data: Path | None = None, file: Path | None = None) -> TaskSpec:
    """The task that made a result; UsageError where it cannot be had any more.

    data: where the table of a task of one's own has moved to. file: of a task that is code; it is run only
    if the user names it, for a result may be anybody's.
    """
    from downstream_runs.tasks import own, plugins

    record = result.config.get(OWN_TASK)
    if record is None:
        return get(result.task)
    if "kind" in record:
        return own.of_record(result.task, record, data)
    if "file" not in record:
        return plugins.of_record(result.task, record)
    if file is None:
        raise UsageError(
            f"the task {result.task} is code, in {shown(record['file'])}, which no result has run by itself: "
            "read it, and add --task-file FILE"
        )
    return plugins.of_record(result.task, {**record, "file": str(file.expanduser().absolute())})


@functools.cache
def _described() -> Mapping[str, Mapping[str, Any]]:
    text = (Path(__file__).parent / "tasks.json").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Any]] = json.loads(text)
    return found


def task(
    name: str,
    corpus: Corpus,
    score: Callable[[Path, str, Mapping[str, float]], tuple[Score, ...]],
    **others: Any,
) -> TaskSpec:
    """The task of that name in tasks.json; `others`: more of its functions, see `TaskSpec`."""
    said: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in _described()[name].items()
        if key != "note"
    }
    parts: dict[str, Any] = {
        "recipes": Recipes(name),
        "cost": Cost(**said.pop("cost")),
        "metrics": tuple(MetricSpec(**one) for one in said.pop("metrics", ())),
        "selection": Selection(**said.pop("selection")) if "selection" in said else None,
    }
    return TaskSpec(**{"name": name, "corpus": corpus, "score": score, **said, **parts, **others})
