"""All rows of a command: the runs they need, then what is made of several runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.core.run_folder import RESULT, SWEEP
from downstream_runs.launch import sweep, worker
from downstream_runs.launch.grid import Row, folds
from upstream_arm.common.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from downstream_runs.core.run import RunPlan

Launch = Callable[[Sequence["RunPlan"]], Sequence[worker.Outcome]]


@dataclass(frozen=True)
class Ended:
    """How a row ended: its result file, or why there is none and the log to read (None: no log)."""

    row: Row
    result: Path | None
    said: str = ""
    log: Path | None = None


def run(rows: Sequence[Row], rerun: str, launch: Launch) -> list[Ended]:
    """Have every unit done by `launch`, then choose rates and take means; one failure stops no other row.

    A rate whose training diverged is not tried again, unless `rerun` is `always`.
    """
    wanted = [
        (row, unit) for row in rows for unit in row.units() if rerun == "always" or not _diverged(row, unit)
    ]
    outcomes = list(zip(wanted, launch([unit for _, unit in wanted]), strict=True))
    return [_end(row, [outcome for (of, _), outcome in outcomes if of is row]) for row in rows]


def _diverged(row: Row, unit: RunPlan) -> bool:
    return bool(row.rates) and sweep.diverged(dataclasses.replace(unit, fold=None))


def _end(row: Row, outcomes: Sequence[worker.Outcome]) -> Ended:
    from upstream_arm.common.errors import ReportError

    bad = [one for one in outcomes if not one.good and not (row.rates and sweep.diverged(one.plan))]
    if bad:
        return Ended(row, None, bad[0].said or f"ended with code {bad[0].code}", bad[0].log)
    try:
        for plan in row.members():
            if plan.task.folds and not (row.rates and sweep.diverged(plan)):
                _mean(plan)
        if row.rates:
            sweep.finish(row)
            print(sweep.table(json.loads((row.folder() / SWEEP).read_text(encoding="utf-8"))))
    except (UsageError, ReportError, RunFailed) as error:
        return Ended(row, None, str(error))
    return Ended(row, row.folder() / RESULT)


def _mean(plan: RunPlan) -> None:
    """The result over a task's folds, all of which are done."""
    from downstream_runs import engine
    from downstream_runs.core.run import run_dir

    missing = [fold for fold in folds(plan) if not (run_dir(fold) / RESULT).exists()]
    if missing:
        raise RunFailed(f"{run_dir(missing[0])} has no result; the same command goes on with it")
    engine.run(plan)
