"""Names beside points, put where they cover neither a point nor each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

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

Box = tuple[float, float, float, float]
Spot = tuple[float, float]
Segment = tuple[Spot, Spot]


def place(
    axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[tuple[str, float, float]]
) -> None:
    """Write each name (text, x, y) near its point, with a thin line to it; one without room is left out.

    Call it when the limits of the axes are final. Positions are worked out without drawing.
    """
    figure = axes.figure
    scale = 72 / figure.dpi

    def spot(x: float, y: float) -> tuple[float, float]:
        where = axes.transData.transform((x, y))
        return float(where[0]) * scale, float(where[1]) * scale

    frame = axes.get_window_extent()
    inside = (frame.x0 * scale, frame.y0 * scale, frame.x1 * scale, frame.y1 * scale)
    taken: list[Box] = [
        (x - _CLEAR, y - _CLEAR, x + _CLEAR, y + _CLEAR) for x, y in (spot(*point) for point in points)
    ]
    drawn: list[Segment] = []
    for text, x, y in names:
        at = spot(x, y)
        fitting = (
            offset
            for offset in _OFFSETS
            if _fits(text, at, offset, taken, inside)
            and not any(_cross(_segment(at, offset), other) for other in drawn)
        )
        found = next(fitting, None)
        if found is None:
            continue
        taken += [_box(text, at, found), *_line(at, found)]
        drawn.append(_segment(at, found))
        line = {"arrowstyle": "-", "color": "#9aa0a6", "linewidth": 0.5, "shrinkA": 1, "shrinkB": 2}
        line["relpos"] = (0 if found[0] > 0 else 1, 0.5)
        axes.annotate(
            text,
            (x, y),
            found,
            textcoords="offset points",
            fontsize=SIZE,
            ha="left" if found[0] > 0 else "right",
            va="center",
            arrowprops=line if found[0] ** 2 + found[1] ** 2 > _NEAR else None,
        )


def _fits(text: str, at: Spot, offset: tuple[int, int], taken: Sequence[Box], inside: Box) -> bool:
    """Is there room for the name, and does its line cross no other name or point?"""
    return _free(_box(text, at, offset), taken, inside) and all(
        _free(box, taken, inside) for box in _line(at, offset)
    )


def _segment(at: Spot, offset: tuple[int, int]) -> Segment:
    return at, (at[0] + offset[0], at[1] + offset[1])


def _cross(one: Segment, other: Segment) -> bool:
    """Has each segment its ends on both sides of the other?"""
    sides = [_side(line, end) * _side(line, far) for line, (end, far) in ((one, other), (other, one))]
    return max(sides) < 0


def _side(line: Segment, point: Spot) -> float:
    (x0, y0), (x1, y1) = line
    return (x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0)


def _line(at: Spot, offset: tuple[int, int]) -> list[Box]:
    """Small boxes along the line from the point to its name, none where the name is near."""
    if offset[0] ** 2 + offset[1] ** 2 <= _NEAR:
        return []
    shares = [number / 10 for number in range(3, 10)]
    spots = [(at[0] + share * offset[0], at[1] + share * offset[1]) for share in shares]
    return [(x - 0.5, y - 0.5, x + 0.5, y + 0.5) for x, y in spots]


def _box(text: str, at: Spot, offset: tuple[int, int]) -> Box:
    width = _LETTER * SIZE * len(text)
    left = at[0] + offset[0] - (0 if offset[0] > 0 else width)
    middle = at[1] + offset[1]
    return left, middle - 0.6 * SIZE, left + width, middle + 0.6 * SIZE


def _free(box: Box, taken: Sequence[Box], inside: Box) -> bool:
    if box[0] < inside[0] or box[1] < inside[1] or box[2] > inside[2] or box[3] > inside[3]:
        return False
    return all(
        box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1]
        for other in taken
    )
