"""EER and MTWV from trials, themselves and under resampling of enrolled speakers or queries.

EER: where the straight lines between the points of the ROC cross false accepts = false rejects, as s3prl
0.4.18 has it. MTWV: as `downstream_runs.scoring.mtwv` defines it, whose constants are used; tests hold both
values against that package's. It is the largest over all thresholds of the mean over queries of
1 - (P_miss + beta P_fa), queries without a target left out; never below 0, which accepting nothing gives. A
maximum's bootstrap leans upwards, so the interval of an MTWV may reach further above the value than below it.

A query of which no trial was searched (on QUESST 2014 those in other languages) is missed by every system. It
counts in the mean and is not resampled: how many such queries there are is no chance of the test set.

Only the targets' own scores can be the best threshold of a TWV, and an ROC is nearly straight between close
points: the draws look at THRESHOLDS of them at most, the value itself at all.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from downstream_runs.scoring import eer
from downstream_runs.scoring.mtwv import BETA, DEFAULT_SCORE
from reports.items import ScoredItems
from reports.statistics.resample import Array, Draws, weights, widened

THRESHOLDS = 1000
#: The share of draws that must have an EER for an interval to be made from them.
MOSTLY = 0.95


@lru_cache(maxsize=2)  # asked for when a file is checked, and again by its draws
def point(scored: ScoredItems) -> float:
    """The EER or MTWV of the trials, in percent."""
    if scored.key == "asv_eer":
        [trials] = scored.strata
        return 100 * eer.score(trials["label"], trials["score"]).rate
    return float(_counted(scored).values(np.ones((1, _counted(scored).resampled)))[0])


def draws(*systems: ScoredItems) -> Draws | None:
    """The metric under resampling of its groups; None with fewer than two of them.

    Of two systems the second minus the first, both on the same draws of the same groups.
    """
    total, values, count = 0.0, np.zeros(1), 0
    for sign, scored in zip((1.0,) if len(systems) == 1 else (-1.0, 1.0), systems, strict=True):
        drawn = _drawn(scored)
        if drawn is None:
            return None
        value, moved, count = drawn
        total += sign * value
        values = values + sign * moved
    values = _drawn_again(values)
    return Draws(total, widened(total, values, count), count - 1, count, systems[0].unit)


@lru_cache(maxsize=6)  # two metrics of a first system, of the one before and of the one tested against it
def _drawn(scored: ScoredItems) -> tuple[float, Array, int] | None:
    """The metric, that of each draw, and how many groups were resampled; None for fewer than two of them."""
    counted = _counted(scored).thinned()
    if counted.resampled < 2:
        return None
    value = point(scored)
    drawn = counted.values(weights(counted.resampled, f"{scored.task}/0"))
    return (
        value,
        drawn + (value - float(counted.values(np.ones((1, counted.resampled)))[0])),
        counted.resampled,
    )


def _some(count: int) -> NDArray[np.int64]:
    """Places of at most THRESHOLDS of so many thresholds, rising; the first and the last are among them."""
    if count <= THRESHOLDS:
        return np.arange(count)
    return np.linspace(0, count - 1, THRESHOLDS).round().astype(np.int64)


def _drawn_again(values: Array) -> Array:
    """The values with those of another draw in place of the undefined ones, if these are few.

    Speakers who are enrolled for targets only can make up a whole draw, which then has no false alarms.
    """
    good = np.flatnonzero(np.isfinite(values))
    if len(good) < MOSTLY * len(values):
        return values
    after: Array = values[good[np.searchsorted(good, np.arange(len(values))) % len(good)]]
    return after


@dataclass(frozen=True)
class _Counted:
    """Targets and nontargets at or above each threshold, both `[group, threshold]`, thresholds falling.

    For MTWV as shares of the query's targets and nontargets, and only queries with a target.
    resampled: how many of the groups are; the others stand behind them.
    """

    key: str
    targets: Array
    nontargets: Array
    resampled: int

    def values(self, drawn: Array) -> Array:
        """`[draw]`: the metric where the resampled groups count so often, `[draw, group]`."""
        fixed = np.ones((len(drawn), len(self.targets) - self.resampled))
        every = np.concatenate([drawn, fixed], axis=1) if fixed.size else drawn
        return _eer(self, every) if self.key == "asv_eer" else _mtwv(self, every)

    def thinned(self) -> _Counted:
        """With THRESHOLDS of the thresholds at most, besides the lowest of all."""
        every = self.targets.shape[1] - 1
        # Counted from the highest threshold; the last column is everything below the lowest.
        columns = np.append(every - 1 - _some(every)[::-1], every)
        targets, nontargets = (np.take(table, columns, axis=1) for table in (self.targets, self.nontargets))
        return dataclasses.replace(self, targets=targets, nontargets=nontargets)


# A value and its draws are made from the same; more than a system's two metrics would be kept in vain.
@lru_cache(maxsize=2)
def _counted(scored: ScoredItems) -> _Counted:
    [trials] = scored.strata
    labels, count = trials["label"] == 1, len(trials["names"])
    order, resampled = np.arange(count), count
    if scored.key == "qbe_mtwv":
        spoken, searched = (
            np.bincount(trials["group"][rows], minlength=count) > 0
            for rows in (labels, trials["score"] != DEFAULT_SCORE)
        )
        order = np.concatenate([np.flatnonzero(spoken & searched), np.flatnonzero(spoken & ~searched)])
        resampled = int(np.sum(spoken & searched))
    place = np.full(count, -1)
    place[order] = np.arange(len(order))
    groups = place[trials["group"]]
    # Queries that no document holds do not count.
    used = groups >= 0
    groups, labels, scores, numbers = (
        array[used] for array in (groups, labels, trials["score"], trials["count"])
    )
    thresholds = np.unique(scores[labels] if scored.key == "qbe_mtwv" else scores)
    if scored.key == "asv_eer":  # the value itself is the scorer's
        thresholds = thresholds[_some(len(thresholds))]
    # Index of the highest threshold that the score reaches, counted from the highest threshold down.
    reached = np.searchsorted(thresholds, scores, side="right")
    running = []
    for wanted in (labels, ~labels):
        cell = groups[wanted] * (len(thresholds) + 1) + (len(thresholds) - reached[wanted])
        table = np.bincount(cell, numbers[wanted], minlength=len(order) * (len(thresholds) + 1))
        table = table.reshape(len(order), len(thresholds) + 1)
        sums: Array = np.cumsum(table, axis=1, dtype=np.float64)
        if scored.key == "qbe_mtwv":
            sums /= np.maximum(sums[:, -1:], 1)
        running.append(sums)
    return _Counted(scored.key, running[0], running[1], resampled)


def _eer(counted: _Counted, drawn: Array) -> Array:
    values = []
    for part in np.array_split(drawn, max(1, len(drawn) * counted.targets.shape[1] // 2_000_000)):
        accepted, false = part @ counted.targets, part @ counted.nontargets
        with np.errstate(divide="ignore", invalid="ignore"):
            accepted /= accepted[:, -1:].copy()
            false /= false[:, -1:].copy()
        above = 1 - false - accepted  # from near 1 down to -1; the EER is where it crosses 0
        rows, after = np.arange(len(part)), np.argmax(above <= 0, axis=1)
        # Before the first threshold nothing is accepted: no alarm, and 1 above.
        alarm = np.where(after > 0, false[rows, after - 1], 0.0)
        high, low = np.where(after > 0, above[rows, after - 1], 1.0), above[rows, after]
        values.append(alarm + high / (high - low) * (false[rows, after] - alarm))
    return 100 * np.concatenate(values)


def _mtwv(counted: _Counted, drawn: Array) -> Array:
    worth = counted.targets - BETA * counted.nontargets
    # The last column is everything below the lowest target's score: no threshold of a best TWV.
    twv = (drawn @ worth[:, :-1]) / drawn.sum(axis=1, keepdims=True)
    return 100 * np.maximum(twv.max(axis=1), 0.0)
