"""Every metric of ours with its interval, one panel a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.columns import COLUMNS
from reports.figures import style
from reports.figures.style import Picture
from reports.rows import Row
from reports.statistics.resample import Interval
from reports.table import partial_counts


def draw(rows: Sequence[Row], intervals: Mapping[str, Mapping[str, Interval]], shown: int) -> list[Picture]:
    """One figure of the first `shown` rows without labels and one of those with; none without an interval."""
    plain = [row for row in rows if not row.labels]
    labelled = [row for row in rows if row.labels]
    return [
        *_figure("intervals", plain[:shown], intervals, len(plain) - shown),
        *_figure("intervals_labelled", labelled[:shown], intervals, len(labelled) - shown),
    ]


def _figure(
    key: str, rows: Sequence[Row], intervals: Mapping[str, Mapping[str, Interval]], left_out: int
) -> list[Picture]:
    values = {row.name: row.percent() for row in rows}
    used = [column for column in COLUMNS if any(column.key in intervals.get(row.name, {}) for row in rows)]
    if not used:
        return []
    columns = 2 if len(used) > 1 else 1
    lines = -(-len(used) // columns)
    panel = 0.42 + 0.16 * len(rows)
    legend = 0.17 * len(rows) + 0.12
    height = panel * lines + legend
    with style.canvas(style.COLUMN, height) as figure:
        for place, column in enumerate(used):
            left = 0.05 + 0.5 * (place % columns)
            bottom = (height - legend - panel * (place // columns + 1) + 0.22) / height
            axes = figure.add_axes((left, bottom, 0.42 if columns == 2 else 0.9, (panel - 0.42) / height))
            factor = 1.0 if column.unit == "percent" else 0.01
            for number, row in enumerate(rows):
                value = values[row.name].get(column.key)
                around = intervals.get(row.name, {}).get(column.key)
                colour = style.COLOURS[number % len(style.COLOURS)]
                if around is not None:
                    axes.plot([factor * around.low, factor * around.high], [number, number], color=colour)
                if value is not None:
                    axes.plot(
                        [factor * value],
                        [number],
                        marker=style.MARKERS[number % len(style.MARKERS)],
                        linestyle="none",
                        color=colour,
                        markersize=4,
                        label=row.name,
                    )
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.set_title(column.header, loc="left", fontsize=7.5)
            axes.margins(x=0.1)
            style.plain_grid(axes, "x")
        style.shared_legend(figure, (row.name for row in rows))
        caption = (
            "Our numbers with 95 % bootstrap intervals (the groups that were resampled are in the table of "
            "our "
            "runs). A number without a line has no interval. Intervals that overlap do not settle which is "
            "better; the paired tests do."
        )
        if any(row.labels for row in rows):
            caption += f" These rows are not comparable to published numbers.{partial_counts(rows)}"
        if left_out > 0:
            caption += f" {left_out} more rows are not drawn."
        return [style.finish(figure, key, caption)]
