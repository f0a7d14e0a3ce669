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
    from matplotlib.transforms import Bbox

    figure: Any = axes.figure
    style.settle(figure)
    inside, scale = axes.get_window_extent(), figure.dpi / 72
    spots = axes.transData.transform(points)
    taken = [Bbox([spot - CLEAR * scale, spot + CLEAR * scale]) for spot in spots]
    lines: list[Path] = []
    for text, x, y in names:
        look = {"arrowstyle": "-", "color": "#9aa0a6", "linewidth": 0.5, "shrinkA": 1, "shrinkB": 2}
        label: Any = axes.annotate(
            text, (x, y), (0, 0), textcoords="offset points", fontsize=SIZE, va="center", arrowprops=look
        )
        size, spot = Text.get_window_extent(label), axes.transData.transform((x, y))
        for offset in OFFSETS:
            left, middle = spot + scale * np.array(offset)
            box = Bbox.from_bounds(
                left if offset[0] > 0 else left - size.width,
                middle - size.height / 2,
                size.width,
                size.height,
            )
            line = Path(np.array([spot, (left, middle)]))
            free = inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1)
            if free and not box.count_overlaps(taken) and not any(map(line.intersects_path, lines)):
                label.set(position=offset, ha="left" if offset[0] > 0 else "right")
                label.arrow_patch.set_visible(offset[0] ** 2 + offset[1] ** 2 > 130)
                taken.append(box)
                lines.append(line)
                break
        else:
            label.remove()
