"""What a result says of itself, held against what else it says: labels, recipe, sizes, deviations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from downstream_runs.core import official
from downstream_runs.core.results import (
    INT8,
    OWN_CORPUS,
    OWN_TASK,
    PARTIAL,
    PARTIAL_TEXT,
    Metric,
    Result,
)
from downstream_runs.core.run_folder import RESULT
from downstream_runs.core.settings import leaves
from downstream_runs.core.task import Recipe, TaskSpec
from downstream_runs.corpora.checks import CheckedCorpus
from downstream_runs.recipes import OWN as OWN_RECIPE
from upstream_arm.common.words import shown

MADE = " corpus in the layout of "
#: The part of the official corpus that a task's test is, where it is called otherwise than the split.
TESTS = {
    "pr": "test-clean",
    "asr": "test-clean",
    "ks": "speech_commands_test_set_v0.01",
    "asv": "the list",
}
#: How else deviations tell of a setting: a sweep of its rate, several devices of theirs.
OTHERWISE = {"optimizer.lr": ("the learning rate ",), "runner.devices": ("trained data-parallel on ",)}
#: What counts the test's items, in the order in which a headline's counts are asked for one.
ITEMS = ("utterances", "files", "trials")


def contradictions(result: Result, task: TaskSpec) -> Iterator[str]:
    """A sentence for each thing that a run could not have said of itself."""
    for label, why in needed(result, task).items():
        if label not in result.labels:
            yield f"the label {label!r} is missing: {why}"
    total = result.config["runner"]["total_steps"] if task.train_split is not None else 0
    if result.steps != total:
        yield f"{result.steps} steps were trained, the configuration has {total}"
    if result.recipe in task.recipes:
        untold = _untold(result, task, task.recipes[result.recipe])
        yield from (f"{text}, and no deviation tells of it" for text in untold)
    yield from _corpus(result, task)
    yield from _sizes(result)


def needed(result: Result, task: TaskSpec) -> Mapping[str, str]:
    """Labels that a result must have, and why."""
    found: dict[str, str] = {}
    made, layout, _ = result.corpus.name.partition(MADE)
    if layout:
        found |= {label: f"the corpus is a {result.corpus.name}" for label in made.split(" and ")}
    partial = result.corpus.name.startswith("part of ") or any(
        text.startswith(PARTIAL_TEXT) for text in result.deviations
    )
    found |= {PARTIAL: "a part of the corpus was used"} if partial else {}
    found |= {OWN_CORPUS: "the task is on a table of one's own"} if OWN_TASK in result.config else {}
    found |= dict.fromkeys(official.labels(task, result.config), "the data settings are not the task's own")
    recipe = _recipe(result, task)
    if recipe is None:
        found[OWN_RECIPE] = f"{task.name} has no recipe {shown(result.recipe)}, and none of its settings"
    else:
        found |= dict.fromkeys(recipe.labels, f"the recipe {recipe.name} has it")
    if task.train_split is not None:
        full = task.recipes["superb"].config["runner"]["total_steps"]
        if min(int(result.config["runner"]["total_steps"]), result.steps) < full:
            found["shortened"] = f"{result.steps:,} steps were trained, SUPERB's recipe has {full:,}"
    if result.upstream.endswith("_random"):
        found["untrained"] = f"{result.upstream} has random weights"
    found |= {INT8: "the upstream was quantized"} if result.quantize is not None else {}
    return found


def _recipe(result: Result, task: TaskSpec) -> Recipe | None:
    """The task's recipe of that name, or for a name of one's own that with the same settings."""
    if result.recipe in task.recipes:
        return task.recipes[result.recipe]
    return next((one for one in task.recipes.values() if not _untold(result, task, one)), None)


def _untold(result: Result, task: TaskSpec, recipe: Recipe) -> list[str]:
    """Settings that differ from a recipe's, of which no deviation tells."""
    found: list[str] = []
    theirs, own = dict(leaves(recipe.config)), dict(leaves(result.config))
    for key in sorted(theirs.keys() | own.keys()):
        free = key.startswith(("features.", f"{OWN_TASK}.")) or key.endswith(".num_workers")
        if free or key == task.fold_key or theirs.get(key) == own.get(key):
            continue
        said = f"{key} is {own.get(key)!r}, the recipe has {theirs.get(key)!r}"
        told = (said, *OTHERWISE.get(key, ()))
        if not any(text.startswith(told) for text in result.deviations):
            found.append(said)
    return found


def _corpus(result: Result, task: TaskSpec) -> Iterator[str]:
    """Whether the corpus is called by what it is, and has its official size where no label says otherwise."""
    name, corpus = result.corpus.name, task.corpus.name
    own = OWN_TASK in result.config
    called = name.removeprefix("part of ").rpartition(MADE)[2]
    if not own and called != corpus:
        yield f"the corpus is called {shown(name)}, {corpus!r} was expected"
    one_fold = bool(task.folds) and not any(name.endswith(f"/{RESULT}") for name in result.artefacts)
    if own or name != corpus or one_fold or not isinstance(task.corpus, CheckedCorpus):
        return  # of folds the whole result is held against the whole corpus
    parts = task.corpus.official
    wanted = sum(parts.values()) if task.folds else parts.get(TESTS.get(task.name, task.test_splits[0]), 0)
    for metric in result.metrics:
        if metric.role == "headline" and task.name != "qbe" and PARTIAL not in result.labels:
            items = _items(metric)
            if wanted and items != wanted and official.OTHER_DATA not in result.labels:
                yield f"{metric.name} is of {items:,} test items, the official corpus has {wanted:,}"
    if task.name == "qbe" and dict(result.corpus.counts) != dict(parts):
        yield "the corpus has not the counts of the official one"


def _items(metric: Metric) -> int:
    """How many test items a metric was computed from, over all folds."""
    for kind in ITEMS:
        found = [count for name, count in metric.counts.items() if re.fullmatch(rf"(fold\d+_)?{kind}", name)]
        if found:
            return sum(found)
    return 0


def _sizes(result: Result) -> Iterator[str]:
    """The upstream's size, which up to three measurements tell."""
    card, costs = result.card or {}, result.efficiency
    measured = (None, None) if costs is None else (costs.parameters, costs.macs)
    for what, told in (
        ("parameters", (result.upstream_parameters, card.get("parameters"), measured[0])),
        ("MACs", (card.get("macs"), measured[1])),
    ):
        sizes = [str(one) for one in dict.fromkeys(told) if one is not None]
        if len(sizes) > 1:
            yield f"the upstream has {' and '.join(sizes)} {what}, one number was expected"
    for name in ("upstream_source", "upstream_revision"):
        other = card.get(name.removeprefix("upstream_"))
        if other is not None and getattr(result, name) not in (None, other):
            yield f"{name} is {shown(getattr(result, name))}, the card of the upstream has {shown(other)}"
    if card and card.get("upstream") not in (None, result.upstream) and result.upstream_source is None:
        stem = str(card.get("upstream"))
        if result.upstream != f"{stem}_local":
            yield f"the upstream is {result.upstream}, the card is of {shown(stem)}"
