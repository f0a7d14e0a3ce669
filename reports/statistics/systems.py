"""Intervals and tests of whole systems: every metric, and the overall score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from reports import scores
from reports.columns import BY_KEY, TASKS
from reports.items import ScoredItems
from reports.statistics import paired, ratios, trials
from reports.statistics.paired import Comparison
from reports.statistics.resample import Draws, Interval, combined, interval

OVERALL = "overall"


def _draws(scored: ScoredItems) -> Draws | None:
    """Draws of one metric, whatever it is computed from."""
    return trials.draws(scored) if scored.of_trials else ratios.draws(scored)


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
        test = tests[key] = paired.compare(first[key], second[key])
        if isinstance(test, Comparison) and test.draws is not None:
            differences[key] = test.draws
    if not set(scores.KEYS) - differences.keys():
        drawn = _overall(differences, offset=0.0)
        tests[OVERALL] = paired.of_draws(OVERALL, drawn, "paired bootstrap, each task by its own groups")
    return tests


def _overall(drawn: Mapping[str, Draws], offset: float = 100.0) -> Draws:
    """The mean of eleven; error rates as `offset` minus the rate (0 for differences).

    The tasks are independent; slot filling's two metrics share their draws, as they share their utterances.
    """
    sides = {key: -1.0 if BY_KEY[key].better == "lower" else 1.0 for key in drawn}
    lifts = {key: offset if side < 0 else 0.0 for key, side in sides.items()}
    parts = []
    for task in TASKS:
        keys = [key for key in drawn if BY_KEY[key].task == task]
        point = sum(sides[key] * drawn[key].point + lifts[key] for key in keys)
        values = np.sum([sides[key] * drawn[key].values for key in keys], axis=0)
        parts.append(dataclasses.replace(drawn[keys[0]], point=point, values=values))
    return combined(parts, "group", len(drawn), sum(lifts.values()))
