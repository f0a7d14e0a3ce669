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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from downstream_runs.scoring import eer
from downstream_runs.scoring.mtwv import BETA, DEFAULT_SCORE
from reports.items import ScoredItems, Trial
from reports.statistics.resample import Array, Draws, weights, widened

THRESHOLDS = 1000
#: The share of draws that must have an EER for an interval to be made from them.
MOSTLY = 0.95


def point(scored: ScoredItems) -> float:
    """The EER or MTWV of the trials, in percent."""
    if scored.key == "asv_eer":
        labels, values = zip(*((trial.label, trial.score) for trial in scored.trials), strict=True)
        return 100 * eer.score(labels, values).rate
    return _undrawn(scored, _counted(scored.trials, scored.key, limit=None))


def draws(*systems: ScoredItems) -> Draws | None:
    """The metric under resampling of its groups; None with fewer than two of them.

    Of two systems the second minus the first, both on the same draws of the same groups.
    """
    total, values, count = 0.0, np.zeros(1), 0
    for sign, scored in zip((1.0,) if len(systems) == 1 else (-1.0, 1.0), systems, strict=True):
        counted = _counted(scored.trials, scored.key, limit=THRESHOLDS)
        count = counted.resampled
        if count < 2:
            return None
        value = point(scored)
        drawn = _values(scored.key, counted, weights(count, f"{scored.task}/0"))
        total += sign * value
        values = values + sign * (drawn + (value - _undrawn(scored, counted)))
    values = _drawn_again(values)
    return Draws(total, widened(total, values, count), count - 1, count, systems[0].unit)


def _undrawn(scored: ScoredItems, counted: _Counted) -> float:
    return float(_values(scored.key, counted, np.ones((1, counted.resampled)))[0])


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

    targets: Array
    nontargets: Array
    resampled: int


def _values(key: str, counted: _Counted, drawn: Array) -> Array:
    fixed = np.ones((len(drawn), len(counted.targets) - counted.resampled))
    every = np.concatenate([drawn, fixed], axis=1) if fixed.size else drawn
    return _eer(counted, every) if key == "asv_eer" else _mtwv(counted, every)


def _used(trials: Sequence[Trial], key: str) -> tuple[list[Trial], list[str], int]:
    """The trials that count, their groups, and how many of these, which come first, are resampled."""
    if key != "qbe_mtwv":
        names = sorted({trial.group for trial in trials})
        return list(trials), names, len(names)
    spoken = {trial.group for trial in trials if trial.label == 1}
    searched = {trial.group for trial in trials if trial.score != DEFAULT_SCORE} & spoken
    used = [trial for trial in trials if trial.group in spoken]
    return used, [*sorted(searched), *sorted(spoken - searched)], len(searched)


def _counted(trials: Sequence[Trial], key: str, limit: int | None) -> _Counted:
    used, ordered, resampled = _used(trials, key)
    names = {name: number for number, name in enumerate(ordered)}
    scores = np.array([trial.score for trial in used])
    labels = np.array([trial.label for trial in used], dtype=bool)
    groups = np.array([names[trial.group] for trial in used], dtype=np.int64)
    numbers = np.array([trial.number for trial in used], dtype=np.float64)
    thresholds = np.unique(scores[labels] if key == "qbe_mtwv" else scores)
    if limit is not None and len(thresholds) > limit:
        thresholds = thresholds[np.linspace(0, len(thresholds) - 1, limit).round().astype(np.int64)]
    # Index of the highest threshold that the score reaches, counted from the highest threshold down.
    reached = np.searchsorted(thresholds, scores, side="right")
    running = []
    for wanted in (labels, ~labels):
        cell = groups[wanted] * (len(thresholds) + 1) + (len(thresholds) - reached[wanted])
        table = np.bincount(cell, numbers[wanted], minlength=len(names) * (len(thresholds) + 1))
        table = table.reshape(len(names), len(thresholds) + 1)
        sums: Array = np.cumsum(table, axis=1, dtype=np.float64)
        if key == "qbe_mtwv":
            sums /= np.maximum(sums[:, -1:], 1)
        running.append(sums)
    return _Counted(running[0], running[1], resampled)


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
