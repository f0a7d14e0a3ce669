"""What the command line's lists of upstreams, tasks, seeds and learning rates stand for."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.core.run_folder import RATES, SWEEP_SUFFIX
from upstream_arm.common.errors import UsageError

if TYPE_CHECKING:
    from downstream_runs.core.run import RunPlan
    from downstream_runs.core.task import TaskSpec

ALL = "all"
SWEEP = "sweep"
RATE = "optimizer.lr"

#: SUPERB searches the learning rate by powers of ten, from 1e-1 to 1e-7 (arXiv 2105.01051, section 4): of
#: these the upper five, which hold every recipe's own.
DEFAULT_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True)
class Row:
    """One number of the table: a task on an upstream with a seed.

    plan: the run, without the learning rates that are tried.
    rates: the learning rates to choose among on dev; empty where none are tried.
    """

    plan: RunPlan
    rates: tuple[float, ...] = ()

    def members(self) -> tuple[RunPlan, ...]:
        """One run for each rate, or the one run."""
        return tuple(member(self.plan, rate) for rate in self.rates) or (self.plan,)

    def units(self) -> tuple[RunPlan, ...]:
        """What can be done side by side: each fold of each member."""
        return tuple(unit for plan in self.members() for unit in folds(plan))

    def folder(self) -> Path:
        """Where the row's `result.json` goes."""
        from downstream_runs.core.run import run_dir

        return sweep_folder(self.plan) if self.rates else run_dir(self.plan)


def folds(plan: RunPlan) -> tuple[RunPlan, ...]:
    """The runs of a task's folds, or the run itself."""
    return tuple(dataclasses.replace(plan, fold=fold) for fold in plan.folds) or (plan,)


def sweep_folder(plan: RunPlan) -> Path:
    """Beside the run with the recipe's own rate; the same for any rates, so that more can be added."""
    from downstream_runs.core.run import run_dir

    own = run_dir(plan)
    return own.with_name(own.name + SWEEP_SUFFIX)


def member(plan: RunPlan, rate: float) -> RunPlan:
    """The run of one rate, in the folder `rates` of the sweep."""
    overrides = {**plan.overrides, RATE: rate}
    return dataclasses.replace(plan, overrides=overrides, group=f"{sweep_folder(plan).name}/{RATES}")


def rows(options: argparse.Namespace, arguments: Sequence[str]) -> tuple[Row, ...]:
    """Every row that the options ask for; UsageError for anything that cannot be used."""
    from downstream_runs import tasks as known
    from downstream_runs.cli.options import plan_of

    if options.jobs is not None and options.jobs < 1:
        raise UsageError(f"--jobs is {options.jobs}, expected at least 1")
    if options.lr is not None and any(text.partition("=")[0] == RATE for text in options.overrides):
        raise UsageError(f"--lr and -o {RATE} both set the learning rate: give one of the two")
    found = []
    for upstream in upstreams(options.upstream):
        for name in tasks(options.task):
            one = argparse.Namespace(**{**vars(options), "upstream": upstream, "task": name})
            tried = _rates(known.get(name), options)
            for seed in options.seed:
                found.append(_row(plan_of(one, arguments, seed), tried))
    return tuple(found)


def _row(plan: RunPlan, tried: tuple[float, ...]) -> Row:
    from downstream_runs.core.run import resolve_config

    if len(tried) == 1:
        plan = dataclasses.replace(plan, overrides={**plan.overrides, RATE: tried[0]})
        resolve_config(plan)
        return Row(plan)
    return Row(plan, tried)


def _rates(task: TaskSpec, options: argparse.Namespace) -> tuple[float, ...]:
    """The rates to try with a task; empty for the recipe's own."""
    if options.lr is None:
        return ()
    several = options.lr == SWEEP or "," in options.lr
    if task.train_split is None:
        if options.task.strip().lower() != ALL:
            raise UsageError(f"--lr: {task.name} trains nothing, so it has no learning rate: leave --lr out")
        print(f"note: {task.name} trains nothing: --lr does not touch it", file=sys.stderr)
        return ()
    if several and task.selection is None and not task.dev_splits:
        raise UsageError(f"--lr: {task.name} has no number on dev to choose by: give one rate")
    if options.lr == SWEEP:
        return DEFAULT_RATES
    return tuple(dict.fromkeys(_rate(text) for text in options.lr.split(",")))


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise UsageError(f"--lr has {text!r}, expected rates above 0 such as 1e-2,1e-3, or {SWEEP}")
    return rate


def upstreams(text: str) -> tuple[str, ...]:
    """Upstream names, separated by commas; UsageError for an empty one."""
    return _split(text, "upstream")


def tasks(text: str) -> tuple[str, ...]:
    """Names of tasks, separated by commas, or all ten by `all`; UsageError for an unknown one."""
    from downstream_runs import tasks as known

    if text.strip().lower() == ALL:
        return known.names()
    return tuple(dict.fromkeys(known.get(name).name for name in _split(text, "task")))


def name(plan: RunPlan) -> str:
    """A run in a few words, enough to tell it from the others of its command."""
    words = [f"{plan.upstream} {plan.task.name}"]
    if RATE in plan.overrides:
        words.append(f"lr {plan.overrides[RATE]:g}")
    if plan.fold is not None:
        words.append(plan.fold)
    from downstream_runs.core.run import DEFAULT_SEED

    if plan.seed != DEFAULT_SEED:
        words.append(f"seed {plan.seed}")
    return ", ".join(words)


def _split(text: str, what: str) -> tuple[str, ...]:
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise UsageError(f"{text!r} has an empty {what}; separate names by single commas")
    return tuple(dict.fromkeys(found))
