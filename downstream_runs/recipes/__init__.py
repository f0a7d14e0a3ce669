"""The recipes of the tasks, a file each, `TASK/RECIPE.yaml` of this folder; and recipe files of one's own.

A file has `note`, `source` and `labels` of a `Recipe` and s3prl's blocks, whole. Its stem is the recipe's
name. One's own has the same form, and exactly the settings that the task's recipes have.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.settings import OPEN_BLOCKS, fitted, leaves
from downstream_runs.core.task import Recipe, TaskSpec
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import sha256_file
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.words import near, shown

FOLDER = Path(__file__).parent
ENDINGS = (".yaml", ".yml")
ORDER = ("superb", "paper", "demo", "small")
BLOCKS = ("runner", "downstream_expert", *OPEN_BLOCKS)
"""s3prl's; every recipe has the first two."""

OWN = "own-recipe"
"""The label of runs by a recipe of one's own."""


@dataclass(frozen=True)
class Recipes(Mapping[str, Recipe]):
    """The recipes of one task by name, superb first; a file is read when its recipe is asked for."""

    task: str

    def __getitem__(self, name: str) -> Recipe:
        if name not in tuple(self):
            raise KeyError(name)
        return _official(path_of(self.task, name))

    def __iter__(self) -> Iterator[str]:
        names = sorted(path.stem for path in (FOLDER / self.task).glob("*.yaml"))
        return iter([*(name for name in ORDER if name in names), *(n for n in names if n not in ORDER)])

    def __len__(self) -> int:
        return len(list(iter(self)))


def path_of(task: str, name: str) -> Path:
    """The file of a task's recipe."""
    return FOLDER / task / f"{name}.yaml"


def chosen(task: TaskSpec, wanted: str) -> tuple[TaskSpec, Recipe]:
    """The task and its recipe of a name, or the task with the recipe of a file; UsageError for neither."""
    if not wanted.endswith(ENDINGS):
        return task, task.recipe(wanted)
    path = Path(wanted).expanduser()
    recipe = _read(path)
    try:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", recipe.name):
            raise UsageError(
                f"its name {shown(recipe.name)} becomes the recipe's and a folder's, and may have letters, "
                "digits, dots, dashes and underscores: rename it"
            )
        recipe = dataclasses.replace(recipe, config=_whole(task, recipe.config))
        official = task.recipes.get(recipe.name)
        if official is not None and _differing(official, recipe):
            raise UsageError(
                f"it is called as the recipe {recipe.name}, from which it differs in "
                f"{', '.join(_differing(official, recipe))}: rename it"
            )
    except UsageError as error:
        raise UsageError(
            f"{path} is no recipe of {task.name}: {error} ({PROGRAM} recipe {task.kind} superb prints one)"
        ) from None
    if official is not None:
        return task, official
    return added(task, recipe, f"of a file, {path.name} (SHA-256 {sha256_file(path)})")


def added(task: TaskSpec, recipe: Recipe, origin: str) -> tuple[TaskSpec, Recipe]:
    """The task with a further recipe and that recipe, labelled unless its settings are those of one it has.

    origin: where it is from, in words.
    """
    differences = {other.name: _differing(other, recipe) for other in task.recipes.values()}
    nearest = min(differences, key=lambda name: len(differences[name]))
    labels = (*recipe.labels, OWN) if differences[nearest] else task.recipes[nearest].labels
    told = f", and other than {nearest} in {', '.join(differences[nearest])}"
    recipe = dataclasses.replace(
        recipe,
        labels=tuple(dict.fromkeys(labels)),
        deviations=(
            f"the recipe is {origin}" + (told if differences[nearest] else f", {nearest}'s settings"),
        ),
    )
    recipes = collections.ChainMap({recipe.name: recipe}, task.recipes)  # type: ignore[arg-type]
    return dataclasses.replace(task, recipes=recipes), recipe


def _differing(one: Recipe, other: Recipe) -> list[str]:
    """The dotted keys of settings in which two recipes differ; loading processes decide nothing."""
    first, second = dict(leaves(one.config)), dict(leaves(other.config))
    keys = (key for key in {**first, **second} if not key.endswith(".num_workers"))
    return sorted(key for key in keys if first.get(key, OWN) != second.get(key, OWN))


def _whole(task: TaskSpec, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with exactly the settings of the task's recipes, each of their kind.

    UsageError for one too many, one too few, or one of another kind.
    """
    recipes = [dict(leaves(recipe.config)) for recipe in task.recipes.values()]
    known = {key: value for settings in reversed(recipes) for key, value in settings.items()}
    needed = [key for key in known if all(key in settings for settings in recipes)]
    given = dict(leaves(config))
    for key in given:
        opened = key.partition(".")[0] in OPEN_BLOCKS and any(one.startswith("optimizer.") for one in known)
        if key not in known and not opened:
            raise UsageError(f"the recipes have no setting {shown(key)}{near(key[:200], known)}")
    missing = [key for key in needed if key not in given and key != "optimizer.torch_optim_name"]
    if missing:
        raise UsageError(f"it lacks {missing[0]}, and a recipe is whole")
    return _fitted(config, known, "")


def _fitted(block: Mapping[str, Any], known: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        name: _fitted(value, known, f"{prefix}{name}.")
        if isinstance(value, Mapping)
        else fitted(prefix + name, value, known.get(prefix + name))
        for name, value in block.items()
    }


def _read(path: Path) -> Recipe:
    from downstream_runs.recipes import reading  # YAML takes a while to import

    return reading.read(path)


_official = functools.cache(_read)
