"""Names beside points, put where they cover neither a point nor each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = 6.2
#: Mean width of a letter of DejaVu Sans, as a share of its size.
_LETTER = 0.58
_CLEAR = 3.0
#: Up to this distance (squared) a name needs no line to its point.
_NEAR = 130
#: Where a name may start from its point, in typographic points, the nearest first.
_OFFSETS = sorted(
    itertools.product((-90, -60, -40, -25, -12, -5, 5, 12, 25, 40, 60, 80), range(-66, 67, 3)),
    key=lambda offset: (offset[0] ** 2 + offset[1] ** 2, offset),
)

#: `[box, (left, bottom, right, top)]` in typographic points.
Boxes: TypeAlias = NDArray[np.float64]
Spot: TypeAlias = tuple[float, float]
Segment: TypeAlias = tuple[Spot, Spot]


def place(
    axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[tuple[str, float, float]]
) -> None:
    """Write each name (text, x, y) near its point, with a thin line to it; one without room is left out.

    Call it when the limits of the axes are final. Positions are worked out without drawing.
    """
    scale = 72 / axes.figure.dpi
    inside = np.array(axes.get_window_extent().extents) * scale
    spots = axes.transData.transform(points) * scale
    taken = np.concatenate([spots - _CLEAR, spots + _CLEAR], axis=1)
    drawn: list[Segment] = []
    for text, x, y in names:
        left, bottom = axes.transData.transform((x, y)) * scale
        at = (float(left), float(bottom))
        for offset in _OFFSETS:
            boxes, segment = _boxes(text, at, offset), (at, (at[0] + offset[0], at[1] + offset[1]))
            if _free(boxes, taken, inside) and not any(_cross(segment, other) for other in drawn):
                taken = np.concatenate([taken, boxes])
                drawn.append(segment)
                _write(axes, text, (x, y), offset)
                break


def _write(axes: Axes, text: str, point: tuple[float, float], offset: tuple[int, int]) -> None:
    right = offset[0] > 0
    line: dict[str, Any] = {
        "arrowstyle": "-",
        "color": "#9aa0a6",
        "linewidth": 0.5,
        "shrinkA": 1,
        "shrinkB": 2,
    }
    axes.annotate(
        text,
        point,
        offset,
        textcoords="offset points",
        fontsize=SIZE,
        ha="left" if right else "right",
        va="center",
        arrowprops={**line, "relpos": (0 if right else 1, 0.5)} if _is_far(offset) else None,
    )


def _is_far(offset: tuple[int, int]) -> bool:
    return offset[0] ** 2 + offset[1] ** 2 > _NEAR


def _boxes(text: str, at: Spot, offset: tuple[int, int]) -> Boxes:
    """The name's box, then small ones along the line to it from its point, where the name is far."""
    width = _LETTER * SIZE * len(text)
    left = at[0] + offset[0] - (0 if offset[0] > 0 else width)
    middle = at[1] + offset[1]
    name = np.array([[left, middle - 0.6 * SIZE, left + width, middle + 0.6 * SIZE]])
    if not _is_far(offset):
        return name
    line = np.array(at) + np.arange(3, 10)[:, None] / 10 * np.array(offset)
    return np.concatenate([name, np.concatenate([line - 0.5, line + 0.5], axis=1)])


def _free(boxes: Boxes, taken: Boxes, inside: NDArray[np.float64]) -> bool:
    """Do all boxes lie inside, and over none that is taken?"""
    if (boxes[:, :2] < inside[:2]).any() or (boxes[:, 2:] > inside[2:]).any():
        return False
    over = (boxes[:, None, 2:] > taken[:, :2]) & (taken[:, 2:] > boxes[:, None, :2])
    return not over.all(axis=2).any()


def _cross(one: Segment, other: Segment) -> bool:
    """Has each segment its ends on both sides of the other?"""

    def side(line: Segment, point: Spot) -> float:
        (x0, y0), (x1, y1) = line
        return (x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0)

    return all(side(line, end) * side(line, far) < 0 for line, (end, far) in ((one, other), (other, one)))
