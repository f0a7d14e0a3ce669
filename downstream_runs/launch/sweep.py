"""Learning rates of one task: each a run of its own, and the best on dev as the task's result."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core import official, records, results
from downstream_runs.core.run import RunPlan, run_dir
from downstream_runs.core.run_folder import RATES, RESULT, SWEEP
from downstream_runs.launch import grid
from downstream_runs.scoring.sums import in_order
from upstream_arm.common.errors import ReportError, RunFailed
from upstream_arm.common.files import atomic_path, atomic_write_text, sha256_file

if TYPE_CHECKING:
    from downstream_runs.core.results import Metric, Result
    from downstream_runs.core.task import TaskSpec


@dataclass(frozen=True)
class Tried:
    """One learning rate: its run's result and number on dev.

    One whose training diverged has neither. metric: of the run, or of the first fold; value: the mean over
    folds.
    """

    rate: float
    plan: RunPlan
    result: Result | None = None
    metric: Metric | None = None
    value: float = math.nan

    @property
    def state(self) -> str:
        """As `sweep.json` says it."""
        return "done" if self.result else "diverged"


def finish(row: grid.Row) -> Result:
    """Choose among the rates of `row`, whose runs are over, and write `sweep.json` and `result.json`.

    The best on dev by the metric that selects the task's checkpoints; of equal ones the first that was asked
    for. A rate whose training diverged cannot be chosen and is kept in the table. RunFailed if another
    run is unfinished, if no rate was left, or if the task's results have no number on dev.
    """
    tried = [_tried(row.plan, rate) for rate in row.rates]
    metric = next((one.metric for one in tried if one.metric is not None), None)
    if metric is None:
        states = ", ".join(f"{one.rate:g} {one.state}" for one in tried)
        raise RunFailed(f"training came to an end with no learning rate ({states}); try lower ones with --lr")
    sign = 1 if metric.direction == "lower" else -1
    best = min((one for one in tried if one.result is not None), key=lambda one: sign * one.value)
    folder = grid.sweep_folder(row.plan)
    atomic_write_text(folder / SWEEP, json.dumps(_summary(row, tried, best, metric, folder), indent=1) + "\n")
    wanted = _result(row, tried, best, metric, folder)
    with contextlib.suppress(ReportError):
        written = results.read(folder / RESULT)
        if written.artefacts == wanted.artefacts:
            return written
    return results.write(folder / RESULT, wanted)


def diverged(plan: RunPlan) -> bool:
    """Whether a run, or one of its folds, stopped because its loss or gradient was not finite."""
    return any(records.diverged(run_dir(unit)) for unit in ([plan] if plan.fold else grid.folds(plan)))


def dev_metric(task: TaskSpec, result: Result) -> Metric:
    """The number on dev that chooses among results of a task; RunFailed if this one has none."""
    rule = official.selection(task, result.config)
    names = [rule.metric] if rule else [spec.name for spec in task.metrics if spec.official]
    splits = (rule.split,) if rule else task.dev_splits
    for metric in result.metrics:
        if metric.name in names and metric.split in splits:
            return metric
    raise RunFailed(
        f"the results of {task.name} have no {names[0]} on {' or '.join(splits)}, so no learning rate can be "
        "chosen by it; give one with --lr RATE"
    )


def _tried(plan: RunPlan, rate: float) -> Tried:
    member = grid.member(plan, rate)
    if diverged(member):
        return Tried(rate, member)
    units = [run_dir(unit) for unit in grid.folds(member)]
    missing = [folder for folder in units if not (folder / RESULT).exists()]
    if missing:
        raise RunFailed(
            f"no learning rate is chosen before all have a result: {missing[0]} has none; "
            "the same command goes on with it"
        )
    metrics = [dev_metric(plan.task, results.read(folder / RESULT)) for folder in units]
    value = in_order(metric.value for metric in metrics) / len(metrics)
    return Tried(rate, member, results.read(run_dir(member) / RESULT), metrics[0], value)


def _summary(
    row: grid.Row, tried: Sequence[Tried], best: Tried, metric: Metric, folder: Path
) -> dict[str, Any]:
    """All that was tried, for `sweep.json`; test numbers are not in it, they decide nothing."""
    known = {_name(one.plan, folder) for one in tried}
    others = sorted(str(path.parent.relative_to(folder)) for path in folder.glob(f"{RATES}/*/{RESULT}"))
    return {
        "upstream": row.plan.upstream,
        "task": row.plan.task.name,
        "recipe": row.plan.recipe,
        "seed": row.plan.seed,
        "labels": list(best.result.labels) if best.result else [],
        "chosen_by": {
            "metric": metric.name,
            "split": metric.split,
            "direction": metric.direction,
            "unit": metric.unit,
            "mean_over": list(row.plan.folds),
        },
        "chosen": best.rate,
        "tried": [
            {
                "lr": one.rate,
                "state": one.state,
                "dev": None if math.isnan(one.value) else one.value,
                "run": _name(one.plan, folder),
                "content_sha256": one.result.content_sha256 if one.result else None,
                "wall_seconds": one.result.wall_seconds if one.result else None,
            }
            for one in tried
        ],
        # Of an earlier command with other rates: tried, but not among those of this choice.
        "tried_by_other_commands": [name for name in others if name not in known],
    }


def _name(plan: RunPlan, folder: Path) -> str:
    return str(run_dir(plan).relative_to(folder))


def _result(row: grid.Row, tried: Sequence[Tried], best: Tried, metric: Metric, folder: Path) -> Result:
    """The chosen run's result, which says how it was chosen, with links to the files that it needs."""
    assert best.result is not None
    own = row.plan.task.recipes[row.plan.recipe].config["optimizer"]["lr"]
    rates = ", ".join(f"{rate:g}" for rate in row.rates)
    how = f"{'lowest' if metric.direction == 'lower' else 'highest'} {metric.name} on {metric.split}"
    if row.plan.task.folds:
        how += " (mean over the folds)"
    lost = [f"{one.rate:g}" for one in tried if one.state == "diverged"]
    sentence = f"the learning rate {best.rate:g} was chosen among {len(tried)} ({rates}) by the {how}; "
    sentence += f"the recipe has {own:g}" + (f"; training diverged with {', '.join(lost)}" if lost else "")
    deviations = [text for text in best.result.deviations if not text.startswith(f"{grid.RATE} is ")]
    artefacts = {
        **_link(run_dir(best.plan), folder, best.result.artefacts),
        SWEEP: sha256_file(folder / SWEEP),
    }
    return dataclasses.replace(
        best.result,
        metrics=tuple(
            dataclasses.replace(
                one,
                selection=f"{one.selection}; lr {best.rate:g}, the best of {len(tried)} by {how}",
            )
            for one in best.result.metrics
        ),
        deviations=(*deviations, sentence),
        command=row.plan.command or best.result.command,
        artefacts=artefacts,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        content_sha256="",
    )


def _link(source: Path, folder: Path, artefacts: Mapping[str, str]) -> dict[str, str]:
    """Give the sweep's folder the chosen run's files, those of folds included."""
    files = dict(artefacts)
    for name in artefacts:
        if Path(name).name == RESULT:
            fold = Path(name).parent
            files |= {str(fold / one): sha for one, sha in results.read(source / name).artefacts.items()}
    for name in files:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(place) as temporary:
            _link_or_copy(source / name, temporary)
    return files


def _link_or_copy(source: Path, temporary: Path) -> None:
    temporary.unlink()
    try:
        os.link(source, temporary)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, temporary)


def table(folder: Path) -> str:
    """A sweep's `sweep.json` as a few lines for the terminal."""
    summary = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
    by = summary["chosen_by"]
    lines = [f"learning rates of {summary['upstream']} {summary['task']}, {by['metric']} on {by['split']}:"]
    for one in summary["tried"]:
        value = "diverged" if one["dev"] is None else f"{one['dev']:.2f}"
        mark = "  <- chosen" if one["lr"] == summary["chosen"] else ""
        lines.append(f"  {one['lr']:<8g} {value}{mark}")
    return "\n".join(lines)
