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
    from reports.figures import curves, mask_ratio, pareto, reuse, tasks, uncertainty, weights

    pictures = [
        pareto.parameters(rows),
        pareto.macs(rows),
        tasks.draw(rows),
        reuse.draw(),
        mask_ratio.draw(),
    ]
    some = rows[:shown]
    left_out = len(rows) - len(some)
    pictures += uncertainty.draw(rows, intervals, shown)
    pictures += weights.draw(some, left_out)
    pictures += curves.draw(some, left_out)
    return pictures
