"""Intervals and tests of whole systems: every metric, and the overall score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from reports import scores
from reports.columns import BY_KEY, TASKS
from reports.items import ScoredItems, same_items
from reports.statistics import paired, ratios, trials
from reports.statistics.paired import Comparison
from reports.statistics.resample import Array, Draws, Interval, interval

OVERALL = "overall"


def _draws(first: ScoredItems, *second: ScoredItems) -> Draws | None:
    """Draws of one metric, or of the difference of two systems, whatever it is computed from."""
    return trials.draws(first, *second) if first.trials else ratios.draws(first, *second)


def intervals(items: Mapping[str, ScoredItems]) -> dict[str, Interval]:
    """Column key, or "overall" where all eleven metrics have items, -> interval in percent."""
    drawn = {key: draws for key, scored in items.items() if (draws := _draws(scored)) is not None}
    if not set(scores.KEYS) - drawn.keys():
        drawn[OVERALL] = _overall(drawn)
    around = {key: interval(draws) for key, draws in drawn.items()}
    return {key: _possible(key, one) for key, one in around.items() if one is not None}


def _possible(key: str, around: Interval) -> Interval:
    """The interval without the numbers that the metric cannot have; only error rates can exceed 100."""
    rate = key in BY_KEY and BY_KEY[key].better == "lower"
    high = around.high if rate else min(around.high, 100.0)
    return dataclasses.replace(around, low=max(around.low, 0.0), high=high)


def compare(
    first: Mapping[str, ScoredItems], second: Mapping[str, ScoredItems]
) -> dict[str, Comparison | str]:
    """Column key, or "overall", -> test of second against first, for metrics of which both have items."""
    tests: dict[str, Comparison | str] = {}
    differences: dict[str, Draws] = {}
    for key in (key for key in scores.KEYS if key in first and key in second):
        tests[key] = paired.compare(first[key], second[key])
        if same_items(first[key], second[key]):
            drawn = _draws(first[key], second[key])
            if drawn is not None:
                differences[key] = drawn
    if not set(scores.KEYS) - differences.keys():
        drawn = _overall(differences, offset=0.0)
        tests[OVERALL] = paired.of_draws(OVERALL, drawn, "paired bootstrap, each task by its own groups")
    return tests


def _overall(drawn: Mapping[str, Draws], offset: float = 100.0) -> Draws:
    """The mean of eleven; error rates as `offset` minus the rate (0 for differences).

    The tasks are independent; slot filling's two metrics share their draws, as they share their utterances.
    """
    total: list[Array] = []
    spreads, squares, point = 0.0, 0.0, 0.0
    for task in TASKS:
        keys = [key for key in drawn if BY_KEY[key].task == task]
        sides = {key: -1.0 if BY_KEY[key].better == "lower" else 1.0 for key in keys}
        part: Array = np.sum([sides[key] * drawn[key].values for key in keys], axis=0)
        total.append(part)
        point += sum(sides[key] * drawn[key].point + (offset if sides[key] < 0 else 0.0) for key in keys)
        spreads += float(np.var(part))
        squares += float(np.var(part)) ** 2 / drawn[keys[0]].freedom
    count = len(drawn)
    lifted = offset * sum(BY_KEY[key].better == "lower" for key in drawn)
    return Draws(
        point=point / count,
        values=(np.sum(total, axis=0) + lifted) / count,
        freedom=spreads**2 / squares if squares > 0 else 1.0,
        groups=sum(drawn[key].groups for key in drawn if key != "sf_cer"),
        unit="group",
    )
