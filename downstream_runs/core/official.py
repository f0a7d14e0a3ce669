"""Whether a run's data settings are the official ones, and what its splits are called by what was read.

The settings that decide which recordings and references a task reads are listed in `TaskSpec`: `split_keys`
name folders of the corpus, `data_keys` say how they are divided or cut, `fixed_keys` cannot be changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from downstream_runs.core.settings import leaves
from downstream_runs.core.task import TaskSpec
from upstream_arm.common.errors import UsageError

OTHER_DATA = "other-data"
"""The label of a run whose data settings are not the official ones."""

EVALUATED = "runner.eval_dataloaders"


def require(task: TaskSpec, config: Mapping[str, Any]) -> None:
    """UsageError for a setting that cannot be changed, and for one that names no usable folders or splits."""
    own, official = _settings(task, config)
    for key in task.fixed_keys:
        if own.get(key) != official.get(key):
            raise UsageError(
                f"{key} is {own.get(key)!r}, {official.get(key)!r} was expected: {task.name}'s numbers are "
                "defined for that alone; leave it out"
            )
    if task.check is not None:
        task.check(config, task.recipes["superb"].config)
    for key in task.split_keys.values():
        names = own[key]
        plain = all(isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name) for name in names)
        if not names or not plain or len(set(names)) != len(names):
            raise UsageError(
                f"{key} is {names!r}, expected a list of folders of the corpus, each once, such as "
                f"{official[key]!r}"
            )
    known = (*task.dev_splits, *task.test_splits)
    needed = () if task.selection is None else (task.selection.split,)
    if EVALUATED in own and not set(needed) <= set(own[EVALUATED]) <= set(known):
        raise UsageError(
            f"{EVALUATED} is {own[EVALUATED]!r}, expected a list of {' and '.join(known)}"
            + (f" with {needed[0]}, on which the checkpoint is chosen" if needed else "")
        )


def labels(task: TaskSpec, config: Mapping[str, Any]) -> tuple[str, ...]:
    """`("other-data",)` where a setting of the data is not the official one."""
    own, official = _settings(task, config)
    keys = (*task.split_keys.values(), *task.data_keys)
    return (OTHER_DATA,) if any(own.get(key) != official.get(key) for key in keys) else ()


def read(task: TaskSpec, config: Mapping[str, Any]) -> dict[str, str]:
    """What s3prl's splits are called in all that is written: another name where other folders were read."""
    own, official = _settings(task, config)
    return {
        split: split if own[key] == official[key] else " + ".join(own[key])
        for split, key in task.split_keys.items()
    }


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


def _settings(task: TaskSpec, config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's settings and the official ones, by dotted keys."""
    return dict(leaves(config)), dict(leaves(task.recipes["superb"].config))
