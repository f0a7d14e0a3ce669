"""Training curves by step: the loss, and what was evaluated while training, one panel a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from downstream_runs.core.results import Result
from reports.columns import COLUMNS, TASKS, Column
from reports.figures import journal, style
from reports.figures.style import Picture
from reports.rows import Row
from reports.table import partial_counts

Curve = list[tuple[int, float]]


def loss(rows: Sequence[Row], left_out: int) -> list[Picture]:
    """Training losses; none if no run has any."""
    return _figure(
        rows, "curves_loss", _loss, lambda task: f"{task.upper()} loss", "Training loss.", left_out
    )


def evaluations(rows: Sequence[Row], left_out: int) -> list[Picture]:
    """What was evaluated while training; none if no run has any."""
    return _figure(
        rows, "curves_dev", _evaluated, lambda task: _first(task).header, "Evaluations on dev.", left_out
    )


def _first(task: str) -> Column:
    """The task's first metric, by which its checkpoint is chosen."""
    return next(column for column in COLUMNS if column.task == task)


def _loss(path: Path, result: Result) -> Curve:
    return journal.losses(journal.folders(path)[0])


def _evaluated(path: Path, result: Result) -> Curve:
    """Of a task with folds the first one; of several splits the first that was evaluated."""
    column = _first(result.task)
    splits = journal.scores(journal.folders(path)[0], column.metric)
    return next(iter(splits.values()), [])


def _figure(
    rows: Sequence[Row],
    key: str,
    curve: Callable[[Path, Result], Curve],
    title: Callable[[str], str],
    caption: str,
    left_out: int,
) -> list[Picture]:
    curves = {
        (result.task, number): points
        for number, row in enumerate(rows)
        for path, result in row.runs
        if (points := curve(path, result))
    }
    tasks = [task for task in TASKS if any(task == other for other, _ in curves)]
    if not tasks:
        return []
    columns = 2 if len(tasks) > 1 else 1
    lines = -(-len(tasks) // columns)
    legend = 0.17 * len(rows) + 0.1
    height = 1.25 * lines + legend + 0.2
    with style.canvas(style.COLUMN, height) as figure:
        for place, task in enumerate(tasks):
            left = 0.12 + 0.5 * (place % columns)
            bottom = (height - legend - 1.25 * (place // columns + 1) + 0.28) / height
            axes = figure.add_axes((left, bottom, 0.36 if columns == 2 else 0.85, 0.75 / height))
            for (other, number), points in sorted(curves.items()):
                if other == task:
                    axes.plot(
                        [step for step, _ in points],
                        [value for _, value in points],
                        color=style.COLOURS[number % len(style.COLOURS)],
                        marker=style.MARKERS[number % len(style.MARKERS)],
                        markersize=2.5 if len(points) < 30 else 0,
                        label=rows[number].name,
                    )
            axes.set_title(title(task), loc="left", fontsize=7.5)
            axes.margins(y=0.1)
            if place >= len(tasks) - columns:
                axes.set_xlabel("Step", labelpad=1)
            style.plain_grid(axes)
        style.shared_legend(figure, (row.name for row in rows))
        if any(row.labels for row in rows):
            caption += " Rows with labels in brackets are not comparable to the others."
            caption += partial_counts(rows)
        if left_out:
            caption += f" {left_out} more rows are not drawn."
        return [style.finish(figure, key, caption)]
