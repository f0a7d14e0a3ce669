"""The featurizer's learned layer weights as a heat map, tasks by layers, one for each upstream."""

from __future__ import annotations

from collections.abc import Sequence

from downstream_runs.scoring.sums import in_order
from reports.columns import TASKS
from reports.figures import journal, style
from reports.figures.style import Picture
from reports.rows import Row
from reports.table import partial_counts
from reports.tables.model import listed


def draw(rows: Sequence[Row], left_out: int) -> list[Picture]:
    """One figure of all these rows that have weights, a panel each; none if no run saved any."""
    found = [(row.name, weights) for row in rows if (weights := _weights(row))]
    if not found:
        return []
    heights = [0.55 + 0.2 * len(weights) for _, weights in found]
    total = sum(heights) + 0.45
    with style.canvas(style.COLUMN, total) as figure:
        top = total - 0.1
        peak = max(value for _, weights in found for values in weights.values() for value in values)
        image = None
        for (name, weights), height in zip(found, heights, strict=True):
            top -= height
            axes = figure.add_axes((0.1, (top + 0.3) / total, 0.86, 0.2 * len(weights) / total))
            layers = max(len(values) for values in weights.values())
            # A student of fewer layers has no cell there, which is not a weight of 0.
            grid = [[*values, *[float("nan")] * (layers - len(values))] for values in weights.values()]
            image = axes.imshow(
                grid, aspect="auto", cmap="cividis", vmin=0, vmax=peak, interpolation="nearest"
            )
            axes.set_yticks(range(len(weights)), [task.upper() for task in weights])
            axes.set_xticks(range(layers))
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            axes.set_title(style.short(name, style.WIDEST), loc="left", fontsize=7.5)
        bar = figure.add_axes((0.35, 0.24 / total, 0.4, 0.08 / total))
        figure.colorbar(image, cax=bar, orientation="horizontal")  # type: ignore[arg-type]
        bar.tick_params(length=2, labelsize=6)
        figure.text(0.1, 0.24 / total, "Layer; weight:", fontsize=7)
        caption = (
            f"Learned layer weights of {listed(name for name, _ in found)}: tasks by layers (0 is the input "
            f"of the "
            "Transformer), each row sums to 1, at the last evaluation. They are no measure of importance "
            "where "
            "layers differ in scale."
        )
        caption += partial_counts([row for row in rows if row.name in dict(found)])
        if left_out:
            caption += f" {left_out} more rows are not drawn."
        return [style.finish(figure, "layer_weights", caption)]


def _weights(row: Row) -> dict[str, list[float]]:
    """Task -> weights, in the paper's order of tasks; of a task with folds the mean."""
    found = {}
    for path, result in row.runs:
        each = [weights for folder in journal.folders(path) if (weights := journal.layer_weights(folder))]
        lengths = {len(weights) for weights in each}
        # A single layer has nothing to weigh.
        if len(lengths) == 1 and lengths != {1}:
            found[result.task] = [in_order(values) / len(each) for values in zip(*each, strict=True)]
    return {task: found[task] for task in TASKS if task in found}
