"""Learning rates of one task: each a run of its own, and the best on dev as the task's result."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from downstream_runs.core import official, records, results
from downstream_runs.core.results import Metric, Result
from downstream_runs.core.run import RunPlan, run_dir
from downstream_runs.core.run_folder import RATES, RESULT, SWEEP
from downstream_runs.core.settings import RATE
from downstream_runs.core.task import TaskSpec
from downstream_runs.launch import grid
from downstream_runs.scoring.sums import in_order
from upstream_arm.common.errors import RunFailed
from upstream_arm.common.files import atomic_path, atomic_write_text, sha256_file


def finish(row: grid.Row) -> Result:
    """Choose among the rates of `row`, whose runs are over, and write `sweep.json` and `result.json`.

    The best on dev by the metric that selects the task's checkpoints; of equal ones the first that was asked
    for. A rate whose training diverged cannot be chosen and is kept in the table. RunFailed if another
    run is unfinished, if no rate was left, or if the task's results have no number on dev.
    """
    folder = row.folder()
    tried: list[dict[str, Any]] = []
    metrics: list[Metric] = []
    for rate in row.rates:
        plan = grid.member(row.plan, rate)
        value, metric = (None, None) if diverged(plan) else _on_dev(plan)
        result = None if metric is None else results.read(run_dir(plan) / RESULT)
        tried.append(
            {
                "lr": rate,
                "state": "done" if result else "diverged",
                "dev": value,
                "run": str(run_dir(plan).relative_to(folder)),
                "content_sha256": result.content_sha256 if result else None,
                "wall_seconds": result.wall_seconds if result else None,
            }
        )
        metrics += [metric] if metric else []
    if not metrics:
        states = ", ".join(f"{one['lr']:g} {one['state']}" for one in tried)
        raise RunFailed(f"training came to an end with no learning rate ({states}); try lower ones with --lr")
    sign = 1 if metrics[0].direction == "lower" else -1
    best = min((one for one in tried if one["dev"] is not None), key=lambda one: sign * one["dev"])
    chosen = results.read(folder / best["run"] / RESULT)
    summary = _summary(row, tried, best["lr"], metrics[0], chosen)
    atomic_write_text(folder / SWEEP, json.dumps(summary, indent=1) + "\n")
    return results.write_unless_same(folder / RESULT, _result(row, summary, folder / best["run"], chosen))


def diverged(plan: RunPlan) -> bool:
    """Whether a run, or one of its folds, stopped because its loss or gradient was not finite."""
    return any(records.diverged(run_dir(unit)) for unit in ([plan] if plan.fold else grid.folds(plan)))


def dev_metric(task: TaskSpec, result: Result) -> Metric:
    """The number on dev that chooses among results of a task; RunFailed if this one has none."""
    rule = task.selection
    names = [rule.metric] if rule else [spec.name for spec in task.metrics if spec.official]
    splits = (official.name(task, result.config, rule.split),) if rule else task.dev_splits
    for metric in result.metrics:
        if metric.name in names and metric.split in splits:
            return metric
    raise RunFailed(
        f"the results of {task.name} have no {names[0]} on {' or '.join(splits)}, so no learning rate can be "
        "chosen by it; give one with --lr RATE"
    )


def _on_dev(plan: RunPlan) -> tuple[float, Metric]:
    """A run's number on dev, the mean over its folds; and the metric, of the run or of the first fold."""
    units = [run_dir(unit) for unit in grid.folds(plan)]
    missing = [folder for folder in units if not (folder / RESULT).exists()]
    if missing:
        raise RunFailed(
            f"no learning rate is chosen before all have a result: {missing[0]} has none; "
            "the same command goes on with it"
        )
    metrics = [dev_metric(plan.task, results.read(folder / RESULT)) for folder in units]
    return in_order(metric.value for metric in metrics) / len(metrics), metrics[0]


def _summary(
    row: grid.Row, tried: list[dict[str, Any]], chosen: float, metric: Metric, best: Result
) -> dict[str, Any]:
    """All that was tried, for `sweep.json`; test numbers are not in it, they decide nothing."""
    folder, known = row.folder(), {one["run"] for one in tried}
    others = sorted(str(path.parent.relative_to(folder)) for path in folder.glob(f"{RATES}/*/{RESULT}"))
    return {
        "upstream": row.plan.upstream,
        "task": row.plan.task.name,
        "recipe": row.plan.recipe,
        "seed": row.plan.seed,
        "labels": list(best.labels),
        "chosen_by": {
            "metric": metric.name,
            "split": metric.split,
            "direction": metric.direction,
            "unit": metric.unit,
            "mean_over": list(row.plan.folds),
        },
        "chosen": chosen,
        "tried": tried,
        # Of an earlier command with other rates: tried, but not among those of this choice.
        "tried_by_other_commands": [name for name in others if name not in known],
    }


def _result(row: grid.Row, summary: Mapping[str, Any], run: Path, best: Result) -> Result:
    """The result of the chosen run, which says how it was chosen, with links to the files that it needs."""
    own = row.plan.task.recipes[row.plan.recipe].config["optimizer"]["lr"]
    tried, by, rate = summary["tried"], summary["chosen_by"], summary["chosen"]
    rates = ", ".join(f"{one['lr']:g}" for one in tried)
    how = f"{'lowest' if by['direction'] == 'lower' else 'highest'} {by['metric']} on {by['split']}"
    if row.plan.task.folds:
        how += " (mean over the folds)"
    lost = [f"{one['lr']:g}" for one in tried if one["state"] == "diverged"]
    sentence = f"the learning rate {rate:g} was chosen among {len(tried)} ({rates}) by the {how}; "
    sentence += f"the recipe has {own:g}" + (f"; training diverged with {', '.join(lost)}" if lost else "")
    deviations = [text for text in best.deviations if not text.startswith(f"{RATE} is ")]
    also = f"; lr {rate:g}, the best of {len(tried)} by {how}"
    folder = row.folder()
    return dataclasses.replace(
        best,
        metrics=tuple(dataclasses.replace(one, selection=one.selection + also) for one in best.metrics),
        deviations=(*deviations, sentence),
        name=row.plan.name or best.name,
        command=row.plan.command or best.command,
        artefacts={**_link(run, folder, best.artefacts), SWEEP: sha256_file(folder / SWEEP)},
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
        with atomic_path(folder / name) as temporary:
            temporary.unlink()
            try:
                os.link(source / name, temporary)
            except OSError:  # another file system, or one without links
                shutil.copyfile(source / name, temporary)
    return files


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
