"""The paper's Tables 2 and 4 as figures: patterns of attention map reuse, and masking ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import published
from reports.figures import style
from reports.figures.style import Picture
from reports.tables.paper import ABLATIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Where the ratio that grows from 0.4 to 0.8 stands: behind the fixed ones.
SCHEDULE = 1.0
TITLES = [column.header for column in ABLATIONS]


def reuse() -> Picture:
    """Four panels, patterns from the cheapest to the dearest."""
    patterns = sorted(published.table(2), key=lambda pattern: float(pattern.macs_g))
    names = [f"{pattern.name} ({pattern.macs_g} G)" for pattern in patterns]
    places = list(range(len(patterns)))

    def draw(axes: Axes, place: int) -> None:
        column = ABLATIONS[place]
        values = [pattern.values[column.key] for pattern in patterns]
        best = (min if column.better == "lower" else max)(values)
        axes.plot(values, places, color=style.GREY, linewidth=0.7)
        axes.plot(values, places, "o", color=style.COLOURS[0], markersize=4)
        axes.plot([best], [values.index(best)], "s", color=style.COLOURS[1], markersize=5)
        axes.set_yticks(places, names if place % 2 == 0 else [""] * len(patterns))
        axes.margins(0.12, 0.1)

    caption = (
        "Reuse patterns (published, arXiv 2305.11685 Table 2), from fewest to most MACs (in brackets); "
        "squares are the best of each metric."
    )
    return style.panels("reuse", caption, TITLES, [], draw, height=1.5)


def mask_ratio() -> Picture:
    """Four panels, one line for each amount of training speech."""
    systems = published.table(4)
    models = list(dict.fromkeys(system.name for system in systems))

    def draw(axes: Axes, place: int) -> None:
        key = ABLATIONS[place].key
        for number, model in enumerate(models):
            some = [(one.printed["mask_ratio"], one.values[key]) for one in systems if one.name == model]
            fixed = [(float(ratio), value) for ratio, value in some if "linear" not in ratio]
            axes.plot(*zip(*fixed, strict=True), label=model, markersize=4, **style.marked(number))
            growing = [(SCHEDULE, value) for ratio, value in some if "linear" in ratio]
            for point in growing:
                axes.plot(*point, markersize=4, **style.marked(number), markerfacecolor="white")
        axes.set_xticks([0.4, 0.6, 0.8, SCHEDULE], ["0.4", "0.6", "0.8", "grows"])
        axes.set_xlim(0.33, 1.07)
        axes.margins(y=0.15)

    caption = (
        "Masking ratios (published, arXiv 2305.11685 Table 4). Hollow: the ratio grows linearly from 0.4 to "
        "0.8 during training."
    )
    return style.panels("mask_ratio", caption, TITLES, models, draw, height=1.5)
