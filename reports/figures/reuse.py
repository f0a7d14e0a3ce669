"""The paper's Table 2 as a figure: what each pattern of attention map reuse costs and gives."""

from __future__ import annotations

from reports import published
from reports.figures import style
from reports.figures.style import Picture
from reports.tables.ablations import COLUMNS


def draw() -> Picture:
    """Four panels, patterns from the cheapest to the dearest."""
    rows = sorted(published.ablation(2), key=lambda row: float(row["macs_g"]))
    names = [f"{row['pattern']} ({row['macs_g']} G)" for row in rows]
    places = list(range(len(rows)))
    with style.canvas(style.COLUMN, 3.0) as figure:
        for number, column in enumerate(COLUMNS):
            left = 0.3 if number % 2 == 0 else 0.68
            axes = figure.add_axes((left, 0.58 if number < 2 else 0.1, 0.29, 0.33))
            values = [float(row[column.key]) for row in rows]
            best = (min if column.better == "lower" else max)(values)
            axes.plot(values, places, color=style.GREY, linewidth=0.7)
            axes.plot(values, places, "o", color=style.COLOURS[0], markersize=4)
            axes.plot([best], [values.index(best)], "s", color=style.COLOURS[1], markersize=5)
            axes.set_yticks(places, names if number % 2 == 0 else [""] * len(rows))
            axes.set_title(column.header, loc="left", fontsize=7.5)
            axes.margins(0.12, 0.1)
            style.plain_grid(axes)
        return style.finish(
            figure,
            "reuse",
            "Reuse patterns (published, arXiv 2305.11685 Table 2), from fewest to most MACs (in "
            "brackets); squares are the best of each metric.",
        )
