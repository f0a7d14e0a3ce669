"""The runs of a command as one batch: corpora first, then every run, then what is made of several runs."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from downstream_runs.core.corpus import Standing, shortfall
from downstream_runs.core.run import RunPlan, resolve_config, run_dir
from downstream_runs.core.run_folder import CACHE, RESULT
from downstream_runs.launch import sweep, worker
from downstream_runs.launch.grid import Row, folds
from upstream_arm.common.errors import RunFailed, SuperbError, UsageError

Launch = Callable[[Sequence[RunPlan]], Sequence[worker.Outcome]]
"""Has every plan done, in whatever processes, and tells how each ended, in the order of the plans."""


Ended = tuple[Row, str, Path | None]
"""A row, why it has no result (empty where it has one), and the log to read (None: no log)."""


def unusable(rows: Sequence[Row]) -> Mapping[str, str]:
    """Task -> why its corpus cannot be used; each corpus is looked at once, without decoding audio.

    It is told at once, so that nobody learns hours later what was missing from the start.
    """
    plans = {row.plan.task.name: row.plan for row in rows}
    print(f"checking the corpora of {', '.join(plans)}", file=sys.stderr)
    reasons: dict[str, str] = {}
    for name, plan in plans.items():
        try:
            standing = look(plan, plan.out / CACHE)
        except (UsageError, OSError) as error:
            reasons[name] = str(error)
            print(f"{name} will be skipped: {error}", file=sys.stderr)
        else:
            if standing.partial:
                print(f"{name}: {shortfall(standing.partial)}", file=sys.stderr)
    return reasons


def look(plan: RunPlan, cache: Path | None) -> Standing:
    """What the plan's corpus is; UsageError for one that cannot be used. No `cache`: nothing is written."""
    return plan.task.corpus.look(plan.data, cache, resolve_config(plan), plan.partial)


def run(rows: Sequence[Row], rerun: str, launch: Launch) -> list[Ended]:
    """Have every unit done by `launch`, then choose rates and take means; one failure stops no other row.

    A rate whose training diverged is not tried again, unless `rerun` is `always`.
    """
    wanted = [
        (row, unit)
        for row in rows
        for unit in row.units()
        if rerun == "always" or not _diverged(row, dataclasses.replace(unit, fold=None))
    ]
    outcomes = list(zip(wanted, launch([unit for _, unit in wanted]), strict=True))
    return [_end(row, [outcome for (of, _), outcome in outcomes if of is row]) for row in rows]


def _diverged(row: Row, plan: RunPlan) -> bool:
    """Whether training diverged with a rate that is one of several."""
    return bool(row.rates) and sweep.diverged(plan)


def _end(row: Row, outcomes: Sequence[worker.Outcome]) -> Ended:
    for one in outcomes:
        if one.code and not _diverged(row, one.plan):
            return row, one.last or f"ended with code {one.code}", one.log
    try:
        for plan in row.members():
            if plan.task.folds and not _diverged(row, plan):
                from downstream_runs import engine

                for fold in folds(plan):
                    if not (run_dir(fold) / RESULT).exists():
                        raise RunFailed(f"{run_dir(fold)} has no result; the same command goes on with it")
                engine.run(plan)
        if row.rates:
            sweep.finish(row)
            print(sweep.table(row.folder()))
    except SuperbError as error:
        return row, str(error), None
    return row, "", None
