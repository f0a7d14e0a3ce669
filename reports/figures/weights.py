"""The featurizer's learned layer weights as a heat map, tasks by layers, one for each upstream."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from downstream_runs.scoring.sums import in_order
from reports.columns import TASKS
from reports.figures import style
from reports.figures.curves import folders, is_number, journal
from reports.figures.style import Picture
from reports.systems import System
from reports.tables.blocks import partial_counts
from reports.tables.model import listed


def draw(ours: Sequence[System], left_out: int) -> list[Picture]:
    """One figure of all these systems that have weights, a panel each; none if no run saved any."""
    having = [(system, weights) for system in ours if (weights := _weights(system))]
    if not having:
        return []
    total = sum(0.55 + 0.2 * len(weights) for _, weights in having) + 0.45
    with style.canvas(style.COLUMN, total) as figure:
        bottom = total - 0.1
        peak = max(value for _, weights in having for values in weights.values() for value in values)
        for system, weights in having:
            bottom -= 0.55 + 0.2 * len(weights)
            axes = figure.add_axes((0.1, (bottom + 0.3) / total, 0.86, 0.2 * len(weights) / total))
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
        bar = figure.add_axes((0.35, 0.24 / total, 0.4, 0.08 / total))
        figure.colorbar(image, cax=bar, orientation="horizontal")
        bar.tick_params(length=2, labelsize=6)
        figure.text(0.1, 0.24 / total, "Layer; weight:", fontsize=7)
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
