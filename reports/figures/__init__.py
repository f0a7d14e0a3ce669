"""The figures, one a file. matplotlib is imported only while they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.figures.style import Picture
from reports.rows import Row
from reports.statistics.resample import Interval


def draw(rows: Sequence[Row], intervals: Mapping[str, Mapping[str, Interval]], shown: int) -> list[Picture]:
    """All figures in the order of the page; `intervals`: row name -> column key -> interval.

    Those of single runs show the first `shown` rows, rows without labels first.
    """
    from reports.figures import curves, mask_ratio, pareto, reuse, tasks, uncertainty, weights

    some = sorted(rows, key=lambda row: bool(row.labels))[:shown]
    left_out = len(rows) - len(some)
    return [
        pareto.parameters(rows),
        pareto.macs(rows),
        tasks.draw(rows),
        reuse.draw(),
        mask_ratio.draw(),
        *uncertainty.draw(rows, intervals, shown),
        *weights.draw(some, left_out),
        *curves.evaluations(some, left_out),
        *curves.loss(some, left_out),
    ]
