"""The figures, one a file. matplotlib is imported only while they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.figures.style import Picture
from reports.rows import Row
from reports.statistics.resample import Interval


def draw(rows: Sequence[Row], intervals: Mapping[str, Mapping[str, Interval]], shown: int) -> list[Picture]:
    """All figures that these rows of ours have data for, beside those of published numbers alone.

    `intervals`: row name -> column key -> interval. Figures of single runs show the first `shown` rows.
    """
    # Before the fork, so that no child imports them again.
    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_svg  # noqa: F401

    from reports.figures import curves, mask_ratio, parallel, pareto, reuse, tasks, uncertainty, weights

    some = rows[:shown]
    left_out = len(rows) - len(some)
    # The slow ones first in a pool of few workers; the page has its own order.
    slow: list[parallel.Job] = [
        lambda: curves.loss(some, left_out),
        lambda: curves.evaluations(some, left_out),
        lambda: weights.draw(some, left_out),
        lambda: uncertainty.draw(rows, intervals, shown),
    ]
    quick: list[parallel.Job] = [
        lambda: [pareto.parameters(rows)],
        lambda: [pareto.macs(rows)],
        lambda: [tasks.draw(rows)],
        lambda: [reuse.draw()],
        lambda: [mask_ratio.draw()],
    ]
    found = parallel.run([*slow, *quick])
    return sorted(found, key=lambda picture: _ORDER.index(picture.key))


_ORDER = (
    "overall_params",
    "overall_macs",
    "tasks",
    "reuse",
    "mask_ratio",
    "intervals",
    "intervals_labelled",
    "layer_weights",
    "curves_dev",
    "curves_loss",
)
