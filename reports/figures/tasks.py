"""Systems task by task, each metric on the scale of superb_s, from FBANK (0) to the reference (1000)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports import catalogue, published, scores
from reports.columns import BY_KEY
from reports.figures import style
from reports.figures.style import Picture
from reports.rows import Row

#: The published systems of the figure.
SHOWN = ("HuBERT BASE", "DistilHuBERT (960h)", "ARMHuBERT (960h)", "ARMHuBERT-S (960h)")
OURS = 3
EDGES = (-100, 1200)


def draw(rows: Sequence[Row]) -> Picture:
    """The figure, with the first OURS rows of ours that may stand beside published numbers."""
    by_name = {one.name: one for one in catalogue.known()}
    systems: list[tuple[str, Mapping[str, float]]] = [(name, by_name[name].values) for name in SHOWN]
    usable = [row for row in rows if not row.labels]
    systems += [(f"{row.name} (ours)", row.percent()) for row in usable[:OURS]]
    reference = published.reference_points()
    beyond = False
    with style.canvas(style.COLUMN, 4.4) as figure:
        axes = figure.add_axes((0.24, 0.09, 0.73, 0.74))
        for number, (name, values) in enumerate(systems):
            keys = [key for key in scores.KEYS if key in values]
            found = [scores.points(key, values[key], reference) for key in keys]
            beyond = beyond or any(not EDGES[0] <= value <= EDGES[1] for value in found)
            # A little apart in height, so that equal values do not hide each other.
            apart = 0.12 * (number - (len(systems) - 1) / 2)
            axes.plot(
                [min(max(value, EDGES[0]), EDGES[1]) for value in found],
                [scores.KEYS.index(key) + apart for key in keys],
                linestyle="none",
                marker=style.MARKERS[number],
                color=style.COLOURS[number],
                markersize=4.5,
                markeredgecolor="white",
                markeredgewidth=0.4,
                label=style.short(name, 24),
            )
        axes.set_yticks(range(len(scores.KEYS)), [BY_KEY[key].name for key in scores.KEYS])
        axes.invert_yaxis()
        for end in (0, 1000):
            axes.axvline(end, color=style.GREY, linewidth=0.8, zorder=0)
        axes.set_xlabel("Points (FBANK 0, reference 1000); right is better")
        style.plain_grid(axes)
        figure.legend(loc="upper center", ncols=2, handletextpad=0.2, columnspacing=1.0)
        caption = (
            "Per-task comparison: every metric between FBANK (0) and the leaderboard's reference system "
            "(1000), as "
            "superb_s has it."
        )
        if beyond:
            caption += f" Values outside {EDGES[0]} to {EDGES[1]} are drawn at that edge."
        if len(usable) > OURS:
            caption += f" The first {OURS} of {len(usable)} rows of ours are shown."
        return style.finish(figure, "tasks", caption)
