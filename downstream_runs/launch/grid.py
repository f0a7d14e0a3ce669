"""The grid of runs behind a command: upstreams, tasks, seeds, and learning rates of which the best counts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.core.run import DEFAULT_SEED, RunPlan, run_dir
from downstream_runs.core.run_folder import RATES, SWEEP_SUFFIX
from downstream_runs.core.settings import RATE
from upstream_arm.published_states import STATES, in_words


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
        return sweep_folder(self.plan) if self.rates else run_dir(self.plan)


def folds(plan: RunPlan) -> tuple[RunPlan, ...]:
    """The runs of a task's folds, or the run itself."""
    return tuple(dataclasses.replace(plan, fold=fold) for fold in plan.folds) or (plan,)


def sweep_folder(plan: RunPlan) -> Path:
    """Beside the run with the recipe's own rate; the same for any rates, so that more can be added."""
    own = run_dir(plan)
    return own.with_name(own.name + SWEEP_SUFFIX)


def member(plan: RunPlan, rate: float) -> RunPlan:
    """The run of one rate, in the folder `rates` of the sweep."""
    overrides = {**plan.overrides, RATE: rate}
    return dataclasses.replace(plan, overrides=overrides, group=f"{sweep_folder(plan).name}/{RATES}")


def name(plan: RunPlan) -> str:
    """A run in a few words, enough to tell it from the others of its command."""
    words = [f"{plan.name}: " * bool(plan.name) + f"{plan.upstream} {plan.task.name}"]
    if (plan.states, plan.layer) != (STATES, None):
        words.append(in_words(plan.states, plan.layer))
    if plan.quantize is not None:
        words.append(plan.quantize)
    if plan.noise is not None:
        words.append(plan.noise.label)
    if RATE in plan.overrides:
        words.append(f"lr {plan.overrides[RATE]:g}")
    if plan.fold is not None:
        words.append(plan.fold)
    if plan.seed != DEFAULT_SEED:
        words.append(f"seed {plan.seed}")
    return ", ".join(words)
