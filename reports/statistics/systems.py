"""Intervals and tests of whole rows: every metric of a system, and its overall score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import scores
from reports.columns import BY_KEY, TASKS
from reports.evidence import Evidence, same_items
from reports.statistics import paired, ratios, trials
from reports.statistics.paired import Comparison
from reports.statistics.resample import Draws, Interval, interval

if TYPE_CHECKING:
    from reports.statistics.resample import Array

OVERALL = "overall"


@dataclass(frozen=True)
class Uncertainty:
    """What can be said of one system.

    intervals: column key, or "overall", -> interval in percent.
    """

    intervals: Mapping[str, Interval]


def draws(evidence: Evidence) -> Draws | None:
    """Draws of one metric, whatever it is computed from."""
    return trials.draws(evidence) if evidence.trials else ratios.draws(evidence)


def uncertainty(evidence: Mapping[str, Evidence]) -> Uncertainty:
    """Intervals of all metrics with evidence, and of the overall score where all eleven have it."""
    drawn = {key: draws(found) for key, found in evidence.items()}
    intervals = {key: interval(found) for key, found in drawn.items()}
    whole = {key: found for key, found in drawn.items() if found is not None}
    if not set(scores.KEYS) - whole.keys():
        intervals[OVERALL] = interval(_overall(whole))
    return Uncertainty({key: _possible(key, found) for key, found in intervals.items() if found is not None})


def _possible(key: str, found: Interval) -> Interval:
    """The interval without the numbers that the metric cannot have; only error rates can exceed 100."""
    rate = key in BY_KEY and BY_KEY[key].better == "lower"
    return dataclasses.replace(
        found, low=max(found.low, 0.0), high=found.high if rate else min(found.high, 100.0)
    )


def compare(first: Mapping[str, Evidence], second: Mapping[str, Evidence]) -> dict[str, Comparison | str]:
    """Column key, or "overall", -> test of second against first, for metrics that both have evidence of."""
    found: dict[str, Comparison | str] = {}
    differences: dict[str, Draws] = {}
    for key in (key for key in scores.KEYS if key in first and key in second):
        found[key] = paired.compare(first[key], second[key])
        if same_items(first[key], second[key]):
            drawn = (trials if first[key].trials else ratios).difference(first[key], second[key])
            if drawn is not None:
                differences[key] = drawn
    if not set(scores.KEYS) - differences.keys():
        found[OVERALL] = paired.of_draws(
            OVERALL, _overall(differences, offset=0.0), "paired bootstrap, each task by its own groups"
        )
    return found


def _overall(drawn: Mapping[str, Draws], offset: float = 100.0) -> Draws:
    """The mean of eleven; error rates as `offset` minus the rate (0 for differences).

    The tasks are independent; slot filling's two metrics share their draws, as they share their utterances.
    """
    import numpy as np

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
