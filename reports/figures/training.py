"""What the journals of training show: losses and evaluations by step, and the learned layer weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from downstream_runs.core import records
from downstream_runs.core.run_folder import METRICS, is_fold
from downstream_runs.scoring.sums import in_order
from reports.columns import COLUMNS, TASKS
from reports.figures import style
from reports.figures.style import Picture
from reports.systems import System
from reports.table import listed
from reports.tables.blocks import partial_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: How many points of a long curve have a marker, about.
MARKED = 15
Curve = list[tuple[int, float]]
#: The task's first metric, by which its checkpoint is chosen.
FIRST = {task: next(column for column in COLUMNS if column.task == task) for task in TASKS}


def loss(ours: Sequence[System], left_out: int) -> list[Picture]:
    """Training losses; none if no run has any."""
    titles = {task: f"{task.upper()} loss" for task in TASKS}
    return _figure(
        ours, "curves_loss", lambda line, _: training_loss(line), titles, "Training loss.", left_out
    )


def evaluations(ours: Sequence[System], left_out: int) -> list[Picture]:
    """What was evaluated while training, of several splits the first; none if no run has any."""
    titles = {task: column.header for task, column in FIRST.items()}
    return _figure(ours, "curves_dev", evaluated, titles, "Evaluations on dev.", left_out)


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


def evaluated(line: dict[str, Any], task: str) -> Any:
    """The task's first metric, as a line of an evaluation has it."""
    every = line.get("scores")
    score = every.get(FIRST[task].metric) if isinstance(every, dict) else None
    return score.get("value") if isinstance(score, dict) else None


def training_loss(line: dict[str, Any]) -> Any:
    """The training loss of a line that no evaluation wrote."""
    scalars = None if "scores" in line else line.get("scalars")
    named = sorted(scalars.items()) if isinstance(scalars, dict) else []
    return next((value for name, value in named if "loss" in name.lower()), None)


def curve(folder: Path, task: str, pick: Callable[[dict[str, Any], str], Any]) -> Curve:
    """(step, value) of each line of a journal that has the value, of several splits the first."""
    lines = [(line, pick(line, task)) for line in journal(folder)]
    points = [(line.get("split"), line["step"], value) for line, value in lines if is_number(value)]
    return [(step, value) for split, step, value in points if split == points[0][0]]


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of a journal is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _figure(
    ours: Sequence[System],
    key: str,
    pick: Callable[[dict[str, Any], str], Any],
    titles: dict[str, str],
    caption: str,
    left_out: int,
) -> list[Picture]:
    """One panel a task; of a task with folds the first fold."""
    curves = {
        (result.task, number): points
        for number, system in enumerate(ours)
        for path, result in system.runs
        if (points := curve(folders(path)[0], result.task, pick))
    }
    tasks = [task for task in TASKS if any(task == other for other, _ in curves)]
    if not tasks:
        return []
    if any(system.labels for system in ours):
        caption += f" Rows with labels in brackets are not comparable to the others.{partial_counts(ours)}"

    def draw(axes: Axes, place: int) -> None:
        for (_, number), points in sorted(item for item in curves.items() if item[0][0] == tasks[place]):
            # Of a long curve some points have a marker, by which its colour need not be known.
            every = len(points) // MARKED if len(points) >= 2 * MARKED else None
            name, look = ours[number].name, style.marked(number)
            axes.plot(*zip(*points, strict=True), markersize=2.5, markevery=every, label=name, **look)
        axes.margins(y=0.1)
        if place >= len(tasks) - 2:
            axes.set_xlabel("Step", labelpad=1)

    names = [system.name for system in ours]
    caption += style.not_drawn(left_out)
    return [style.panels(key, caption, [titles[task] for task in tasks], names, draw)]


def weights(ours: Sequence[System], left_out: int) -> list[Picture]:
    """One figure of all these systems that have weights, a panel each; none if no run saved any."""
    having = [(system, weights) for system in ours if (weights := _weights(system))]
    if not having:
        return []
    peak = max(value for _, weights in having for values in weights.values() for value in values)
    tall = [len(weights) for _, weights in having]
    with style.canvas(0.5 * len(having) + 0.2 * sum(tall) + 0.5) as figure:
        every = figure.subplots(len(having), height_ratios=tall, squeeze=False)[:, 0]
        for axes, (system, weights) in zip(every, having, strict=True):
            layers = max(map(len, weights.values()))
            # A student of fewer layers has no cell there, which is not a weight of 0.
            grid = [[*values, *[float("nan")] * (layers - len(values))] for values in weights.values()]
            image = axes.imshow(
                grid, aspect="auto", cmap="cividis", vmin=0, vmax=peak, interpolation="nearest"
            )
            axes.set_yticks(range(len(weights)), [task.upper() for task in weights])
            axes.set_xticks(range(layers))
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            axes.set_title(style.short(system.name, style.WIDEST))
        figure.colorbar(image, ax=every, orientation="horizontal", aspect=40, label="Layer; weight")
        shown = [system for system, _ in having]
        caption = (
            f"Learned layer weights of {listed(system.name for system in shown)}: tasks by layers (0 is the "
            "input of the Transformer), each row sums to 1, at the last evaluation. They are no measure of "
            f"importance where layers differ in scale.{partial_counts(shown)}"
        )
        return [style.finish(figure, "layer_weights", caption + style.not_drawn(left_out))]


def layer_weights(folder: Path) -> list[float] | None:
    """The featurizer's weights over the hidden states at the last evaluation that has them."""
    every = [line["layer_weights"] for line in journal(folder) if isinstance(line.get("layer_weights"), list)]
    usable = [weights for weights in every if weights and all(map(is_number, weights))]
    return [float(value) for value in usable[-1]] if usable else None


def _weights(system: System) -> dict[str, list[float]]:
    """Task -> weights, in the paper's order of tasks; of a task with folds the mean."""
    means = {}
    for path, result in system.runs:
        each = [weights for folder in folders(path) if (weights := layer_weights(folder))]
        lengths = {len(weights) for weights in each}
        # A single layer has nothing to weigh.
        if len(lengths) == 1 and lengths != {1}:
            means[result.task] = [in_order(values) / len(each) for values in zip(*each, strict=True)]
    return {task: means[task] for task in TASKS if task in means}
