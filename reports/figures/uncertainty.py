"""Every metric of ours with its interval, one panel a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reports.columns import COLUMNS
from reports.figures import style
from reports.figures.style import Picture
from reports.statistics.resample import Interval
from reports.systems import System
from reports.tables.blocks import partial_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Intervals = Mapping[str, Mapping[str, Interval]]


def draw(ours: Sequence[System], intervals: Intervals, shown: int) -> list[Picture]:
    """One figure of the first `shown` without labels and one of those with; none without an interval."""
    plain = [system for system in ours if not system.labels]
    labelled = [system for system in ours if system.labels]
    return [
        *_figure("intervals", plain[:shown], intervals, len(plain) - shown),
        *_figure("intervals_labelled", labelled[:shown], intervals, len(labelled) - shown),
    ]


def _figure(key: str, systems: Sequence[System], intervals: Intervals, left_out: int) -> list[Picture]:
    around = [intervals.get(system.name, {}) for system in systems]
    used = [column for column in COLUMNS if any(column.key in some for some in around)]
    if not used:
        return []
    caption = (
        "Our numbers with 95 % bootstrap intervals (the groups that were resampled are in the table of our "
        "runs). A number without a line has no interval. Intervals that overlap do not settle which is "
        "better; the paired tests do."
    )
    if any(system.by for system in systems):
        caption += " Rows marked theirs were pulled from others."
    if any(system.labels for system in systems):
        caption += f" These rows are not comparable to published numbers.{partial_counts(systems)}"

    def draw_panel(axes: Axes, place: int) -> None:
        column = used[place]
        for number, (system, some) in enumerate(zip(systems, around, strict=True)):
            look = style.marked(number)
            if column.key in some:
                ends = [column.in_unit(end) for end in (some[column.key].low, some[column.key].high)]
                axes.plot(ends, [number, number], color=look["color"])
            if column.key in system.values:
                value = column.in_unit(system.values[column.key])
                axes.plot([value], [number], linestyle="none", markersize=4, label=system.name, **look)
        axes.set_ylim(len(systems) - 0.4, -0.6)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.1)

    titles, names = [column.header for column in used], [system.name for system in systems]
    caption += style.not_drawn(left_out)
    return [style.panels(key, caption, titles, names, draw_panel, height=0.5 + 0.16 * len(systems))]
