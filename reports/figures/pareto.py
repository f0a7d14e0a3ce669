"""Overall score against size and against MACs, with the systems that no other beats in both."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports import published, scores
from reports.figures import labels, style
from reports.figures.style import Picture
from reports.systems import System

NOT_DISTILLED, DISTILLED, PAPER, OURS, PARTIAL, THEIRS = KINDS = (
    "Not distilled",
    "Distilled, other papers",
    "Recycle-and-Distill (the paper)",
    "Ours",
    "Ours, partial mean",
    "Theirs, pulled from others",
)
_PAPER_MODELS = ("MaskHuBERT", "ARMHuBERT", "ARMwavLM")
#: How many of ours are named, the best ones.
NAMED = 4
#: Of how many of the eleven metrics ours must have a value to be drawn by their mean: fewer say little.
ENOUGH = 6


@dataclass(frozen=True)
class Point:
    """A system: its cost (millions of parameters or giga-MACs) and its overall score or partial mean."""

    name: str
    cost: float
    overall: float
    kind: str


def parameters(ours: Sequence[System]) -> Picture:
    """Overall score against parameters."""
    costs = [(system, float(system.params_m or 0)) for system in (*published.known(), *ours)]
    caption = (
        "Overall score against parameters. The line joins the published systems that no smaller one beats. "
        "FBANK (no parameters) is left out."
    )
    return _draw(costs, 0.0, "overall_params", "Parameters (millions)", caption)


def macs(ours: Sequence[System]) -> Picture:
    """Overall score against SUPERB's MACs; the paper's models by this toolkit's profile."""
    costs = [
        (system, float(system.macs_g or (system.profile.macs / 1e9 if system.profile else 0)))
        for system in (*published.known(), *ours)
    ]
    caption = (
        "Overall score against MACs. The line joins the published systems that no cheaper one beats. MACs "
        "of the paper's models are recomputed by this toolkit, the others as printed; systems without MACs "
        "are left out."
    )
    # FBANK's half giga would stretch the axis.
    return _draw(costs, 1.0, "overall_macs", "MACs (G, sum over SUPERB's 32 utterances)", caption)


def _kind(system: System) -> str:
    if system.runs:
        return THEIRS if system.by else OURS
    if system.name.startswith(_PAPER_MODELS):
        return PAPER
    return DISTILLED if system.name.endswith("h)") or "12-L" in system.name else NOT_DISTILLED


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other equals or beats in one of cost and score and beats in the other; by cost."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.overall, point.name)):
        if not best or point.overall > best[-1].overall:
            best.append(point)
    return best


def _draw(costs: Sequence[tuple[System, float]], least: float, key: str, label: str, caption: str) -> Picture:
    # Of ours those that may stand beside published numbers.
    usable = [(system, cost) for system, cost in costs if cost > least and not system.labels]
    points = [point for system, cost in usable if (point := _point(system, cost)) is not None]
    best = front([point for point in points if point.kind not in (OURS, PARTIAL, THEIRS)])
    if any(point.kind == PARTIAL for point in points):
        caption += (
            " Hollow: the partial mean, over those metrics that a row of ours has; it is no overall score."
        )
    with style.canvas(3.3) as figure:
        axes = figure.add_subplot(xscale="log", xlabel=label, ylabel="Overall score")
        for number, kind in enumerate(KINDS):
            some = [(point.cost, point.overall) for point in points if point.kind == kind]
            if some:
                size = 4.5 if kind not in (OURS, PARTIAL, THEIRS) else 6.5
                axes.plot(*zip(*some, strict=True), label=kind, markersize=size, **_look(number))
        steps = ([point.cost for point in best], [point.overall for point in best])
        axes.plot(*steps, color="#444444", linewidth=0.8, zorder=1, drawstyle="steps-post")
        # Round numbers, of which a logarithmic axis of this length has room for about six.
        axes.set_xticks([10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000], minor=False)
        axes.minorticks_off()
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(min(point.cost for point in points) / 1.15, max(point.cost for point in points) * 1.3)
        axes.margins(y=0.06)
        style.plain_grid(axes)
        figure.legend(loc="outside upper center", ncols=2, handletextpad=0.2, columnspacing=1.0)
        taken = [*((point.cost, point.overall) for point in points), *_along(best)]
        labels.place(axes, taken, _names(points, best))
        return style.finish(figure, key, caption)


def _point(system: System, cost: float) -> Point | None:
    """Where a system is; of ours that lack a task by the mean of what they have, under its own name."""
    overall = scores.overall(system.values)
    if overall is not None:
        return Point(system.name, cost, overall, _kind(system))
    keys = scores.shared(system.values)
    if not system.runs or system.by or len(keys) < ENOUGH:
        return None
    name = f"{style.short(system.name, 18)} ({len(keys)} of 11)"
    return Point(name, cost, scores.partial_mean(system.values, keys), PARTIAL)


def _look(number: int) -> dict[str, Any]:
    """The colour and the marker of a kind; partial means are hollow ones of ours."""
    own = KINDS.index(OURS) if KINDS[number] == PARTIAL else min(number, KINDS.index(OURS) + 1)
    colour, marker = (style.GREY, *style.COLOURS)[own], style.MARKERS[own]
    if KINDS[number] == PARTIAL:
        hollow = {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 1.0}
        return {"linestyle": "none", "color": colour, "marker": marker, **hollow}
    return {**style.DOTS, "color": colour, "marker": marker}


def _along(best: Sequence[Point]) -> list[tuple[float, float]]:
    """Places on the front's line, which no name may cover."""
    places: list[tuple[float, float]] = []
    for one, two in itertools.pairwise(best):
        places += [(cost, one.overall) for cost in np.geomspace(one.cost, two.cost, 25)]
        places += [(two.cost, overall) for overall in np.linspace(one.overall, two.overall, 25)]
    return places


def _names(points: Sequence[Point], best: Sequence[Point]) -> list[tuple[str, float, float]]:
    """What is named, most important first: ours, the front, then the paper's models of 960h."""
    mine = sorted(
        (point for point in points if point.kind in (OURS, PARTIAL, THEIRS)),
        key=lambda point: (point.kind, -point.overall),
    )
    paper = [point for point in points if point.kind == PAPER and point.name.endswith("(960h)")]
    named = dict.fromkeys([*mine[:NAMED], *best, *paper])
    return [(style.short(point.name), point.cost, point.overall) for point in named]
