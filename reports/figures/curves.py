"""Training curves by step: the loss, and what was evaluated while training, one panel a task."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from downstream_runs.core import records
from downstream_runs.core.run_folder import METRICS, is_fold
from reports.columns import COLUMNS, TASKS
from reports.figures import style
from reports.figures.style import Picture
from reports.systems import System
from reports.tables.blocks import partial_counts

Curve = list[tuple[int, float]]
#: The task's first metric, by which its checkpoint is chosen.
FIRST = {task: next(column for column in COLUMNS if column.task == task) for task in TASKS}


def loss(ours: Sequence[System], left_out: int) -> list[Picture]:
    """Training losses; none if no run has any."""
    titles = {task: f"{task.upper()} loss" for task in TASKS}
    return _figure(ours, "curves_loss", lambda path, _: losses(path), titles, "Training loss.", left_out)


def evaluations(ours: Sequence[System], left_out: int) -> list[Picture]:
    """What was evaluated while training, of several splits the first; none if no run has any."""

    def curve(path: Path, task: str) -> Curve:
        return next(iter(scores(path, FIRST[task].metric).values()), [])

    titles = {task: FIRST[task].header for task in TASKS}
    return _figure(ours, "curves_dev", curve, titles, "Evaluations on dev.", left_out)


def folders(result: Path) -> list[Path]:
    """The run's folder, or those of its folds."""
    folds = sorted(entry for entry in result.parent.iterdir() if entry.is_dir() and is_fold(entry.name))
    return folds or [result.parent]


def journal(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's `metrics.jsonl`; none where it cannot be read."""
    try:
        return list(records.read(folder / METRICS))
    except OSError:
        return []


def scores(folder: Path, metric: str) -> dict[str, Curve]:
    """Split -> (step, value) of this metric at each evaluation, as it was evaluated."""
    curves: dict[str, Curve] = {}
    for line in journal(folder):
        every: Any = line.get("scores")
        score: Any = every.get(metric) if isinstance(every, dict) else None
        value = score.get("value") if isinstance(score, dict) else None
        if is_number(value):
            curves.setdefault(str(line.get("split")), []).append((line["step"], value))
    return curves


def losses(folder: Path) -> Curve:
    """(step, training loss), from the lines that no evaluation wrote."""
    curve = []
    for line in journal(folder):
        scalars: Any = {} if "scores" in line else line.get("scalars")
        named = sorted(scalars.items()) if isinstance(scalars, dict) else []
        value = next((value for name, value in named if "loss" in name.lower()), None)
        if is_number(value):
            curve.append((line["step"], value))
    return curve


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a journal is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _figure(
    ours: Sequence[System],
    key: str,
    curve: Callable[[Path, str], Curve],
    titles: dict[str, str],
    caption: str,
    left_out: int,
) -> list[Picture]:
    """One panel a task; of a task with folds the first fold."""
    curves = {
        (result.task, number): points
        for number, system in enumerate(ours)
        for path, result in system.runs
        if (points := curve(folders(path)[0], result.task))
    }
    tasks = [task for task in TASKS if any(task == other for other, _ in curves)]
    if not tasks:
        return []
    height = 1.25 * -(-len(tasks) // 2) + 0.17 * len(ours) + 0.3
    with style.canvas(style.COLUMN, height) as figure:
        shown = style.panels(figure, [titles[task] for task in tasks], 0.75, 0.3)
        for axes, task in zip(shown, tasks, strict=True):
            for (_, number), points in sorted(item for item in curves.items() if item[0][0] == task):
                size = 2.5 if len(points) < 30 else 0
                name, look = ours[number].name, style.marked(number)
                axes.plot(*zip(*points, strict=True), markersize=size, label=name, **look)
            axes.margins(y=0.1)
        for axes in shown[-2:]:
            axes.set_xlabel("Step", labelpad=1)
        style.shared_legend(figure, [system.name for system in ours])
        if any(system.labels for system in ours):
            caption += " Rows with labels in brackets are not comparable to the others."
            caption += partial_counts(ours)
        return [style.finish(figure, key, caption + style.not_drawn(left_out))]
