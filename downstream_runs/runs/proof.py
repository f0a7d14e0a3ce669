"""`verify` and `repeat`: does a result follow from its files, and does the same run give it again."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.run_folder import BENCHMARK, DEMO_DATA, ITEMS, PLAN, RESULT, TRIALS
from downstream_runs.scoring.names import ScoringError
from downstream_runs.scoring.sums import in_order
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import read_json, sha256_file

if TYPE_CHECKING:
    from downstream_runs.core.feature_options import FeatureOptions
    from downstream_runs.core.results import Metric, Result
    from downstream_runs.core.run import RunPlan

GOOD, WRONG = 0, 1
ROUNDING = 1e-9
"""Of the same numbers added in another order."""


@dataclass(frozen=True)
class Check:
    """One thing that was held against the result. good: None where there is nothing to hold it against."""

    good: bool | None
    text: str

    def line(self) -> str:
        """As it is printed."""
        return f"{'-       ' if self.good is None else 'ok      ' if self.good else 'MISMATCH'} {self.text}"


def verify(place: Path, data: Path | None) -> int:
    """Recompute the numbers of a result, or of a run's folder, from its files; 0 if all agree, else 1."""
    path = _result_file(place)
    from downstream_runs.core import results

    result = results.read(path)
    print(Check(True, f"{path}: the content has its hash").line())
    found = list(checks(path.parent, result, data))
    for check in found:
        print(check.line())
    bad = sum(check.good is False for check in found)
    recomputed = sum(check.good is True for check in found)
    print(f"{recomputed} agree, {bad} do not" + ("" if recomputed else "; no number could be recomputed"))
    return WRONG if bad else GOOD


def checks(folder: Path, result: Result, data: Path | None = None) -> Iterator[Check]:
    """Files first, then every number that can be computed again.

    data: the corpus of a task that is scored against more than its own files, where it has moved.
    """
    from downstream_runs import tasks
    from downstream_runs.core import results

    for name, expected in result.artefacts.items():
        path = folder / name
        found = sha256_file(path) if path.is_file() else "absent"
        if found != expected:
            yield Check(False, f"{name}: its SHA-256 is {found}, the result has {expected}")
    odd = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if _is_odd(path))
    if odd:
        # Scorers would wait for a named pipe for ever.
        yield Check(False, f"no number is computed again: {', '.join(odd)}: neither a file nor a folder")
        return
    folds = [name for name in result.artefacts if name.endswith(f"/{RESULT}")]
    if not folds:
        scored_from_searches = (folder / BENCHMARK).is_file()
        yield from (_searches(folder, result, data) if scored_from_searches else _numbers(folder, result))
        return
    parts = []
    for name in folds:
        parts.append(results.read(folder / name))
        for check in checks((folder / name).parent, parts[-1]):
            yield dataclasses.replace(check, text=f"{Path(name).parent}: {check.text}")
    for metric in result.metrics:
        if metric.role == "headline" and tasks.get(result.task).folds:
            values = [part.headline(metric.name) for part in parts]
            mean = in_order(one.value for one in values if one) / len(values)
            yield _compared(metric, mean, f"mean of {len(parts)} folds")


def _is_odd(path: Path) -> bool:
    """Whether a name stands for a pipe, a device or a socket; a link to nothing is as good as absent."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _result_file(path: Path) -> Path:
    """The result that is named, by itself or by its run's folder: a finished run prints both."""
    return path / RESULT if path.is_dir() else path


def _numbers(folder: Path, result: Result) -> Iterator[Check]:
    for metric in result.metrics:
        if metric.split not in _test_splits(result):
            continue
        found = dict(_recomputed(folder, result, metric))
        for source, value in found.items():
            yield _compared(metric, value, source)
        if not found:
            yield Check(None, f"{metric.name} of {metric.split}: no file to compute it from")


def _searches(folder: Path, result: Result, data: Path | None) -> Iterator[Check]:
    """QbE: MTWV of every layer on dev and of the best on eval, from the scores that the run kept."""
    from downstream_runs.protocols import qbe

    try:
        root = data or Path(result.corpus.root)
        found = {(one.name, one.split): one for one in qbe.again(root, folder, bool(result.shortfall))}
    except (UsageError, OSError) as error:  # the corpus is elsewhere, or not on this machine
        yield Check(None, f"MTWV is not computed again: {error}")
        return
    for metric in result.metrics:
        other = found[metric.name, metric.split]
        yield _compared(metric, other.value, "scores of all trials")
        if metric.role == "headline":
            yield Check(
                other.selection == metric.selection, f"the scores of all layers give: {other.selection}"
            )


def _test_splits(result: Result) -> tuple[str, ...]:
    """Files of other splits belong to the last evaluation, not to the selected checkpoint."""
    from downstream_runs import tasks
    from downstream_runs.core import official

    task = tasks.get(result.task)
    names = official.read(task, result.config)
    return tuple(names.get(split, split) for split in task.test_splits)


def _recomputed(folder: Path, result: Result, metric: Metric) -> Iterator[tuple[str, float]]:
    """Where a number can be computed from, and what it is; only headlines have files of their own."""
    from downstream_runs import tasks
    from downstream_runs.core import official
    from downstream_runs.scoring import eer, trials

    factor = 100.0 if metric.unit == "percent" else 1.0
    task = tasks.get(result.task)
    if task.test is None:
        try:
            scores = task.score(folder, official.original(task, result.config, metric.split), {})
        except (ScoringError, OSError, KeyError):  # its files are not kept, or the number is s3prl's own
            scores = ()
        yield from (("predictions", score.value) for score in scores if score.metric == metric.name)
    if metric.role == "headline" or task.test is None:
        share = _shares(folder / ITEMS).get((metric.name, metric.split))
        if share is not None:
            yield ITEMS, factor * share
    if metric.name == "eer" and metric.role == "headline" and (folder / TRIALS).is_file():
        yield TRIALS, factor * eer.score(*trials.read(folder / TRIALS)).rate


def _shares(path: Path) -> Mapping[tuple[str, str], float]:
    """(metric, split) -> sum of numerators over sum of denominators; UsageError for a damaged file."""
    if not path.is_file():
        return {}
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                both = sums[row["metric"], row["split"]]
                both[0] += float(row["numerator"])
                both[1] += float(row["denominator"])
        return {key: up / down for key, (up, down) in sums.items()}
    except (KeyError, TypeError, ValueError, ZeroDivisionError, csv.Error):
        raise UsageError(
            f"{path} is no file of test items: columns metric, split, item, group, numerator and denominator "
            "were expected; make the run again with --rerun always"
        ) from None


def _compared(metric: Metric, value: float, source: str) -> Check:
    good = math.isclose(metric.value, value, rel_tol=ROUNDING, abs_tol=ROUNDING)
    said = f"{metric.name} of {metric.split} is {metric.value!r}"
    return Check(good, f"{said} by {source}" if good else f"{said}, {source} gives {value!r}")


def read(place: Path) -> Result:
    """The result in a file or in the folder of its run."""
    from downstream_runs.core import results

    return results.read(_result_file(place))


def repeat(
    old: Result, command: argparse.Namespace, features: FeatureOptions, options: argparse.Namespace
) -> int:
    """Run a result's plan again into another folder and compare; 0 if every number is the same, else 1.

    command: the options that made it; features: what they say of stored features; options: of `repeat`.
    """
    out = options.out.expanduser().absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"{options.out} is not empty; give --out a new folder, so that nothing is taken over"
        )
    from downstream_runs.core import demo
    from downstream_runs.engine import folds

    plan = _plan(old, command, features, options, out)
    if command.demo:
        demo.make(plan.task, plan.data)
    new = folds.run(plan)
    found = list(_differences(old, new, _listings(out)))
    for check in found:
        print(check.line())
    bad = [check for check in found if check.good is False]
    print(f"{'another result' if bad else 'the same result'}, made in {out}")
    return WRONG if bad else GOOD


def _plan(
    old: Result, given: argparse.Namespace, features: FeatureOptions, options: argparse.Namespace, out: Path
) -> RunPlan:
    """The run that made `old`, from its command and its own record of what the command came to."""
    from downstream_runs import recipes, tasks
    from downstream_runs.core.run import RunPlan
    from downstream_runs.core.task import Recipe

    task = tasks.get(old.task)
    if old.recipe in task.recipes:
        recipe = task.recipes[old.recipe]
    else:  # of one's own: the result holds all of it
        own = Recipe(old.recipe, _recorded(old), f"of {options.result}", str(options.result))
        task, recipe = recipes.added(task, own, f"of the result {options.result}")
    ckpt = _checkpoint(old, given, options.ckpt)
    plan = RunPlan(
        task=task,
        recipe=recipe.name,
        upstream=old.upstream,
        data=out / DEMO_DATA if given.demo else (options.data or Path(old.corpus.root)),
        out=out,
        ckpt=ckpt,
        model_config=options.model_config or given.model_config,
        switches={key: getattr(given, key) for key in _switches() if getattr(given, key) is not None},
        seed=old.seed,
        device=options.device or given.device,
        devices=given.devices,
        precision=given.precision,
        overrides=_overrides(old, recipe.config, task.fold_key),
        command=old.command,
        features=features,
        partial=given.partial,
    )
    fold = _fold(old, task.folds, task.fold_key)
    return dataclasses.replace(plan, fold=fold)


def _checkpoint(old: Result, given: argparse.Namespace, moved: str | None) -> str | None:
    """The weights of the result; UsageError if there are no such ones at their place."""
    from upstream_arm import names

    if given.ckpt is None and old.upstream not in names.names():
        return None  # s3prl finds its own upstreams' weights itself
    url = old.upstream_switches.get("ckpt_url")
    ckpt = moved or url or old.upstream_checkpoint
    if ckpt is None or ckpt == url:
        return None if ckpt is None else str(ckpt)
    found = sha256_file(Path(ckpt)) if Path(ckpt).is_file() else "absent"
    if found != old.upstream_checkpoint_sha256:
        raise UsageError(
            f"{ckpt} is not the checkpoint of the result: its SHA-256 is {found}, expected "
            f"{old.upstream_checkpoint_sha256}; name that one with --ckpt FILE"
        )
    return str(ckpt)


def _switches() -> Mapping[str, Any]:
    from upstream_arm import names

    return names.SWITCHES


def _recorded(old: Result) -> dict[str, Any]:
    """The recipe as the result's configuration has it."""
    from downstream_runs.recipes import BLOCKS

    config = {block: dict(old.config[block]) for block in BLOCKS if block in old.config}
    config["runner"].pop("devices", None)  # of the command
    return config


def _overrides(old: Result, config: Mapping[str, Any], fold_key: str) -> dict[str, Any]:
    """What the result's configuration has other than its recipe."""
    from downstream_runs.core.settings import leaves

    own = dict(leaves(config))
    ours = ("features.", "runner.devices")  # of the command, not of the recipe
    found = {key: value for key, value in leaves(old.config) if not key.startswith(ours)}
    plain = json.loads(json.dumps(own))
    return {key: value for key, value in found.items() if key != fold_key and plain.get(key) != value}


def _fold(old: Result, folds: Sequence[str], key: str) -> str | None:
    """The fold that a result is of; None for a task without folds, or the mean over them."""
    if not folds or any(name.endswith(f"/{RESULT}") for name in old.artefacts):
        return None
    from downstream_runs.core.settings import leaves

    return str(dict(leaves(old.config))[key])


def _listings(out: Path) -> set[str]:
    """The hashes that results had for the corpus of the runs in `out` before its contents were sampled."""
    plans = (read_json(path) or {} for path in out.rglob(PLAN))
    return {str(plan["data_listing_sha256"]) for plan in plans if plan.get("data_listing_sha256")}


def _differences(old: Result, new: Result, listings: Collection[str]) -> Iterator[Check]:
    """First what was the same to begin with, then the numbers; see `_listings`."""
    if old.corpus.hash in listings:
        yield Check(True, "the corpus has the same names and sizes; its contents were not looked at then")
    else:
        yield Check(old.corpus.hash == new.corpus.hash, f"the corpus has the hash {new.corpus.hash[:12]}")
    for name in ("device", "git_commit"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Check(None, f"{name} was {before}, is {after}")
    for package in sorted(old.packages.keys() | new.packages.keys()):
        before, after = old.packages.get(package), new.packages.get(package)
        if before != after:
            yield Check(None, f"{package} was {before}, is {after}")
    again = {(one.name, one.split, one.role): one for one in new.metrics}
    for one in old.metrics:
        other = again.get((one.name, one.split, one.role))
        name = f"{one.name} of {one.split}"
        if other is None:
            yield Check(False, f"{name} was {one.value!r}, now there is none")
        elif other.value != one.value:
            yield Check(False, f"{name} was {one.value!r}, is {other.value!r}")
        else:
            yield Check(True, f"{name} is {one.value!r} again")
