"""The figures. matplotlib is imported only while they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.figures import ablations, pareto, tasks, training, uncertainty
from reports.figures.style import Picture
from reports.statistics.resample import Interval
from reports.systems import System


def draw(
    ours: Sequence[System], intervals: Mapping[str, Mapping[str, Interval]], shown: int, others: bool = True
) -> list[Picture]:
    """All figures in the order of the page; `intervals`: name of ours -> column key -> interval.

    others: with those that show published systems. Those of single runs show the first `shown` of ours, those
    without labels first.
    """
    some = sorted(ours, key=lambda system: bool(system.labels))[:shown]
    left_out = len(ours) - len(some)
    published = [pareto.parameters, pareto.macs, tasks.draw]
    return [
        *(draw_one(ours) for draw_one in published if others),
        *(draw_one() for draw_one in (ablations.reuse, ablations.mask_ratio) if others),
        *uncertainty.draw(ours, intervals, shown),
        *training.weights(some, left_out),
        *training.evaluations(some, left_out),
        *training.loss(some, left_out),
    ]
