"""Names beside points, put where they cover neither a point nor each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = 6.2
#: Half the side of the square around a point that stays free, in typographic points.
CLEAR = 3.0
#: Where a name may start from its point, in typographic points, the nearest first.
OFFSETS = sorted(
    itertools.product((-90, -60, -40, -25, -12, -5, 5, 12, 25, 40, 60, 80), range(-66, 67, 3)),
    key=lambda offset: (offset[0] ** 2 + offset[1] ** 2, offset),
)


def place(
    axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[tuple[str, float, float]]
) -> None:
    """Write each name (text, x, y) near its point, with a thin line to it; one without room is left out."""
    from matplotlib.path import Path
    from matplotlib.text import Text

    figure: Any = axes.figure
    style.settle(figure)
    inside, scale = axes.get_window_extent(), figure.dpi / 72
    spots = axes.transData.transform(points)
    taken = np.hstack([spots - CLEAR * scale, spots + CLEAR * scale])
    lines: list[Path] = []
    offsets = np.array(OFFSETS)
    for text, x, y in names:
        look = {"arrowstyle": "-", "color": "#9aa0a6", "linewidth": 0.5, "shrinkA": 1, "shrinkB": 2}
        label: Any = axes.annotate(
            text, (x, y), (0, 0), textcoords="offset points", fontsize=SIZE, va="center", arrowprops=look
        )
        size, spot = Text.get_window_extent(label), axes.transData.transform((x, y))
        ends = spot + scale * offsets
        left = np.where(offsets[:, 0] > 0, ends[:, 0], ends[:, 0] - size.width)
        low = np.stack([left, ends[:, 1] - size.height / 2], axis=1)
        high = low + np.array([size.width, size.height])
        free = (low >= inside.min).all(axis=1) & (high <= inside.max).all(axis=1)
        beside = (taken[:, 2:] <= low[:, None]) | (taken[:, :2] >= high[:, None])
        free &= beside.any(axis=2).all(axis=1)
        for offset in np.flatnonzero(free):
            line = Path(np.array([spot, ends[offset]]))
            if not any(map(line.intersects_path, lines)):
                right, up = OFFSETS[offset]
                label.set(position=(right, up), ha="left" if right > 0 else "right")
                label.arrow_patch.set_visible(right**2 + up**2 > 130)
                taken = np.vstack([taken, [*low[offset], *high[offset]]])
                lines.append(line)
                break
        else:
            label.remove()
