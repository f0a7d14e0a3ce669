"""Systems task by task, each metric on the scale of superb_s, from FBANK (0) to the reference (1000)."""

from __future__ import annotations

from collections.abc import Sequence

from reports import published, scores
from reports.columns import COLUMNS
from reports.figures import style
from reports.figures.style import Picture
from reports.systems import System

#: The published systems of the figure.
SHOWN = ("HuBERT BASE", "DistilHuBERT (960h)", "ARMHuBERT (960h)", "ARMHuBERT-S (960h)")
OURS = 3
EDGES = (-100, 1200)


def draw(ours: Sequence[System]) -> Picture:
    """The figure, with the first OURS of ours that may stand beside published numbers."""
    by_name = {one.name: one for one in published.known()}
    usable = [system for system in ours if not system.labels]
    systems = [(name, by_name[name]) for name in SHOWN]
    systems += [(f"{system.name} ({system.source})", system) for system in usable[:OURS]]
    reference = published.reference_points()
    caption = (
        "Per-task comparison: every metric between FBANK (0) and the leaderboard's reference system (1000), "
        "as superb_s has it."
    )
    beyond = f" Values outside {EDGES[0]} to {EDGES[1]} are drawn at that edge."
    with style.canvas(4.4) as figure:
        axes = figure.add_subplot()
        for number, (name, system) in enumerate(systems):
            points = {key: scores.points(key, value, reference) for key, value in system.values.items()}
            inside = [min(max(value, EDGES[0]), EDGES[1]) for value in points.values()]
            if inside != list(points.values()) and beyond not in caption:
                caption += beyond
            # A little apart in height, so that equal values do not hide each other.
            apart = 0.12 * (number - (len(systems) - 1) / 2)
            heights = [scores.KEYS.index(key) + apart for key in points]
            label, look = style.short(name, 24), style.marked(number)
            axes.plot(inside, heights, markersize=4.5, label=label, **style.DOTS, **look)
        axes.set_yticks(range(len(COLUMNS)), [column.name for column in COLUMNS])
        axes.invert_yaxis()
        for end in (0, 1000):
            axes.axvline(end, color=style.GREY, linewidth=0.8, zorder=0)
        axes.set_xlabel("Points (FBANK 0, reference 1000); right is better")
        style.plain_grid(axes)
        figure.legend(loc="outside upper center", ncols=2, handletextpad=0.2, columnspacing=1.0)
        if len(usable) > OURS:
            caption += f" The first {OURS} of {len(usable)} rows of ours are shown."
        return style.finish(figure, "tasks", caption)
