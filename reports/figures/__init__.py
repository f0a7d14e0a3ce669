"""The figures, one a file. matplotlib is imported only while they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from reports.figures.style import Picture
from reports.rows import Row
from reports.statistics.resample import Interval

#: What drawing needs, to be imported once before processes are forked.
MODULES = ("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg")

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


def without_intervals(rows: Sequence[Row], shown: int) -> list[Callable[[], list[Picture]]]:
    """Calls that draw the figures of these rows and of published numbers alone, the slow ones first.

    Those of single runs show the first `shown` rows, rows without labels first.
    """
    from reports.figures import curves, mask_ratio, pareto, reuse, tasks, weights

    some = sorted(rows, key=lambda row: bool(row.labels))[:shown]
    left_out = len(rows) - len(some)
    return [
        lambda: curves.loss(some, left_out),
        lambda: curves.evaluations(some, left_out),
        lambda: weights.draw(some, left_out),
        lambda: [pareto.parameters(rows)],
        lambda: [pareto.macs(rows)],
        lambda: [tasks.draw(rows)],
        lambda: [reuse.draw()],
        lambda: [mask_ratio.draw()],
    ]


def of_intervals(
    rows: Sequence[Row], intervals: Mapping[str, Mapping[str, Interval]], shown: int
) -> list[Picture]:
    """The figures of the intervals: row name -> column key -> interval."""
    from reports.figures import uncertainty

    return uncertainty.draw(rows, intervals, shown)


def ordered(pictures: Iterable[Picture]) -> list[Picture]:
    """As they stand on the page."""
    return sorted(pictures, key=lambda picture: _ORDER.index(picture.key))
