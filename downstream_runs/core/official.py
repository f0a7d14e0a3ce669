"""Whether a run's data settings are the official ones, and what its splits are called by what was read.

The settings that decide which recordings and references a task reads are listed in `TaskSpec`: `split_keys`
name folders of the corpus, `data_keys` say how they are divided or cut, `fixed_keys` cannot be changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from downstream_runs.core.task import TaskSpec
from upstream_arm.common.errors import UsageError

OTHER_DATA = "other-data"
"""The label of a run whose data settings are not the official ones."""

EVALUATED = "runner.eval_dataloaders"
_MISSING = object()


def require(task: TaskSpec, config: Mapping[str, Any]) -> None:
    """UsageError for a setting that cannot be changed, and for one that names no usable folders or splits."""
    for key in task.fixed_keys:
        found, official = _value(config, key), _official(task, key)
        if found != official:
            raise UsageError(
                f"{key} is {found!r}, {official!r} was expected: {task.name}'s numbers are defined for that "
                "alone; leave it out"
            )
    if task.check is not None:
        task.check(config, task.recipes["superb"].config)
    for key in task.split_keys.values():
        names = _value(config, key)
        plain = all(isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name) for name in names)
        if not names or not plain or len(set(names)) != len(names):
            raise UsageError(
                f"{key} is {names!r}, expected a list of folders of the corpus, each once, such as "
                f"{_official(task, key)!r}"
            )
    evaluated = _value(config, EVALUATED)
    known = (*task.dev_splits, *task.test_splits)
    needed = () if task.selection is None else (task.selection.split,)
    if evaluated is not _MISSING and not set(needed) <= set(evaluated) <= set(known):
        raise UsageError(
            f"{EVALUATED} is {evaluated!r}, expected a list of {' and '.join(known)}"
            + (f" with {needed[0]}, on which the checkpoint is chosen" if needed else "")
        )


def labels(task: TaskSpec, config: Mapping[str, Any]) -> tuple[str, ...]:
    """`("other-data",)` where a setting of the data is not the official one."""
    keys = (*task.split_keys.values(), *task.data_keys)
    return (OTHER_DATA,) if any(_value(config, key) != _official(task, key) for key in keys) else ()


def read(task: TaskSpec, config: Mapping[str, Any]) -> dict[str, str]:
    """What s3prl's splits are called in all that is written: another name where other folders were read."""
    names = {}
    for split, key in task.split_keys.items():
        folders = _value(config, key)
        names[split] = split if folders == _official(task, key) else " + ".join(folders)
    return names


def name(task: TaskSpec, config: Mapping[str, Any], split: str) -> str:
    """What one of s3prl's splits is called."""
    return read(task, config).get(split, split)


def deviations(task: TaskSpec, config: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each split that was read from other folders than the official ones."""
    return tuple(
        f"{split} was not read: {name} was, in its place"
        for split, name in read(task, config).items()
        if name != split
    )


def _official(task: TaskSpec, key: str) -> Any:
    return _value(task.recipes["superb"].config, key)


def _value(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING
    return value
