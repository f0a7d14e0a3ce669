"""Overall score against size and against MACs, with the systems that no other beats in both."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import catalogue, scores
from reports.figures import labels, style
from reports.figures.style import Picture
from reports.rows import Row
from reports.tables.table2 import profile_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("Not distilled", "Distilled, other papers", "Recycle-and-Distill (the paper)", "Ours")
_PAPER = ("MaskHuBERT", "ARMHuBERT", "ARMwavLM")


#: How many of ours are named, the best ones.
NAMED = 4


@dataclass(frozen=True)
class Point:
    """A system: its cost (millions of parameters or giga-MACs) and its overall score."""

    name: str
    cost: float
    overall: float
    kind: str


def parameters(rows: Sequence[Row]) -> Picture:
    """Overall score against parameters."""
    found = [_point(one, float(one.params_m)) for one in catalogue.known() if float(one.params_m or 0) > 0]
    found += [_ours(row, float(row.params_m)) for row in _complete(rows) if row.params_m]
    return _draw(
        found,
        "overall_params",
        "Parameters (millions)",
        "Overall score against parameters. The line joins the published systems that no smaller one beats. "
        "FBANK "
        "(no parameters) is left out.",
    )


def macs(rows: Sequence[Row]) -> Picture:
    """Overall score against SUPERB's MACs; the paper's models by this toolkit's profile."""
    found = []
    for one in catalogue.known():
        cost = float(one.macs_g) if one.macs_g else one.recomputed_macs_g
        if cost is not None and cost > 1:  # FBANK's half giga would stretch the axis
            found.append(_point(one, cost))
    for row in _complete(rows):
        profile = profile_of(row)
        if profile is not None:
            found.append(_ours(row, profile.macs / 1e9))
    return _draw(
        found,
        "overall_macs",
        "MACs (G, sum over SUPERB's 32 utterances)",
        "Overall score against MACs. The line joins the published systems that no cheaper one beats. MACs "
        "of the "
        "paper's models are recomputed by this toolkit, the others as printed; systems without MACs are "
        "left out.",
    )


def _complete(rows: Sequence[Row]) -> list[Row]:
    """Ours that may stand beside published numbers."""
    return [row for row in rows if not row.labels and not scores.missing(row.percent())]


def _point(one: catalogue.Known, cost: float) -> Point:
    value = scores.overall(one.values)
    assert value is not None  # published rows have all tasks
    distilled = one.name.endswith("h)")
    kind = (
        KINDS[2] if one.name.startswith(_PAPER) else KINDS[1] if distilled or "12-L" in one.name else KINDS[0]
    )
    return Point(one.name, cost, value, kind)


def _ours(row: Row, cost: float) -> Point:
    value = scores.overall(row.percent())
    assert value is not None  # only complete rows come here
    return Point(row.name, cost, value, KINDS[3])


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other equals or beats in one of cost and score and beats in the other; by cost."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.overall, point.name)):
        if not found or point.overall > found[-1].overall:
            found.append(point)
    return found


def _draw(points: Sequence[Point], key: str, label: str, caption: str) -> Picture:
    best = front([point for point in points if point.kind != KINDS[3]])
    with style.canvas(style.COLUMN, 3.3) as figure:
        axes = figure.add_axes((0.12, 0.12, 0.85, 0.75))
        axes.set_xscale("log")
        for number, kind in enumerate(KINDS):
            some = [point for point in points if point.kind == kind]
            if some:
                axes.plot(
                    [point.cost for point in some],
                    [point.overall for point in some],
                    linestyle="none",
                    marker=style.MARKERS[number],
                    color=(style.GREY, *style.COLOURS)[number],
                    markersize=4.5 if number < 3 else 6.5,
                    markeredgecolor="white",
                    markeredgewidth=0.4,
                    label=kind,
                )
        steps = ([point.cost for point in best], [point.overall for point in best])
        axes.plot(*steps, color="#444444", linewidth=0.8, zorder=1, drawstyle="steps-post")
        costs = [point.cost for point in points]
        axes.set_xlim(min(costs) / 1.15, max(costs) * 1.3)
        axes.margins(y=0.06)
        _ticks(axes)
        mine = sorted((point for point in points if point.kind == KINDS[3]), key=lambda point: -point.overall)
        first = [*mine[:NAMED], *best]
        labels.place(axes, [*((p.cost, p.overall) for p in points), *_along(best)], _names(points, first))
        style.plain_grid(axes)
        axes.set_xlabel(label)
        axes.set_ylabel("Overall score")
        figure.legend(loc="upper center", ncols=2, handletextpad=0.2, columnspacing=1.0)
        return style.finish(figure, key, caption)


def _along(best: Sequence[Point]) -> list[tuple[float, float]]:
    """Places on the front's line, which no name may cover."""
    found = []
    for before, after in itertools.pairwise(best):
        shares = [number / 24 for number in range(25)]
        found += [(before.cost * (after.cost / before.cost) ** share, before.overall) for share in shares]
        found += [(after.cost, before.overall + share * (after.overall - before.overall)) for share in shares]
    return found


def _ticks(axes: Axes) -> None:
    """Round numbers, of which a logarithmic axis of this length has room for about six."""
    low, high = axes.get_xlim()
    round_ones = [base * 10**power for power in range(1, 4) for base in (1, 2, 3, 5)]
    axes.set_xticks([tick for tick in round_ones if low <= tick <= high])
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:g}")


def _names(points: Sequence[Point], first: Sequence[Point]) -> list[tuple[str, float, float]]:
    """What is named, most important first: ours, the front, then the paper's models of 960h."""
    paper = [point for point in points if point.kind == KINDS[2] and point.name.endswith("(960h)")]
    named = dict.fromkeys([*first, *paper])
    return [(style.short(point.name), point.cost, point.overall) for point in named]
