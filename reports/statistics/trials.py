"""EER and MTWV from trials, themselves and under resampling of enrolled speakers or queries.

EER: where the straight lines between the points of the ROC cross false accepts = false rejects, as s3prl
0.4.18 has it. MTWV: the largest over all thresholds of the mean over queries of 1 - (P_miss + 12.49 P_fa),
queries without a target left out; never below 0, which a threshold above every score gives. A maximum's
bootstrap leans upwards, so the interval of an MTWV may reach further above the value than below it.

Only the targets' own scores can be the best threshold of a TWV, and an ROC is nearly straight between close
points: the draws look at THRESHOLDS of them at most, the value itself at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.evidence import Evidence, Trial
from reports.statistics.resample import Draws, weights, widened

if TYPE_CHECKING:
    from reports.statistics.resample import Array

#: (C_fa / C_miss) (1 - P_target) / P_target with P_target 0.0008, C_fa 1, C_miss 100 (SWS 2013).
BETA = 0.01 * (1 - 0.0008) / 0.0008
THRESHOLDS = 1000


def point(evidence: Evidence) -> float:
    """The EER or MTWV of the trials, in percent."""
    groups = _counted(evidence.trials, evidence.key, limit=None)
    import numpy as np

    return float(_values(evidence.key, groups, np.ones((1, len(groups[0]))))[0])


def draws(evidence: Evidence) -> Draws | None:
    """The metric under resampling of its groups; None with fewer than two of them."""
    return _draws([evidence])


def difference(first: Evidence, second: Evidence) -> Draws | None:
    """The second minus the first, both on the same draws of the same groups."""
    return _draws([first, second])


def _draws(systems: Sequence[Evidence]) -> Draws | None:
    import numpy as np

    points, values, count = [], [], 0
    for evidence in systems:
        counted = _counted(evidence.trials, evidence.key, limit=THRESHOLDS)
        count = len(counted[0])
        if count < 2:
            return None
        near = float(_values(evidence.key, counted, np.ones((1, count)))[0])
        points.append(point(evidence))
        drawn = _values(evidence.key, counted, weights(count, f"{evidence.task}/0"))
        values.append(drawn + (points[-1] - near))
    sign = [1.0] if len(systems) == 1 else [-1.0, 1.0]
    total = sum(factor * value for factor, value in zip(sign, points, strict=True))
    moved = np.sum([factor * value for factor, value in zip(sign, values, strict=True)], axis=0)
    return Draws(total, widened(total, moved, count), count - 1, count, systems[0].unit)


def _values(key: str, counted: tuple[Array, Array], drawn: Array) -> Array:
    return _eer(counted, drawn) if key == "asv_eer" else _mtwv(counted, drawn)


def _counted(trials: Sequence[Trial], key: str, limit: int | None) -> tuple[Array, Array]:
    """`[group, threshold]` twice: targets and nontargets at or above each threshold, thresholds falling.

    For MTWV as shares of the query's targets and nontargets, and only queries with a target.
    """
    import numpy as np

    targets = {trial.group for trial in trials if trial.label == 1}
    used = [trial for trial in trials if trial.group in targets] if key == "qbe_mtwv" else list(trials)
    names = {name: number for number, name in enumerate(sorted({trial.group for trial in used}))}
    scores = np.array([trial.score for trial in used])
    labels = np.array([trial.label for trial in used], dtype=bool)
    groups = np.array([names[trial.group] for trial in used], dtype=np.int64)
    thresholds = np.unique(scores[labels] if key == "qbe_mtwv" else scores)
    if limit is not None and len(thresholds) > limit:
        thresholds = thresholds[np.linspace(0, len(thresholds) - 1, limit).round().astype(np.int64)]
    # Index of the highest threshold that the score reaches, counted from the highest threshold down.
    reached = np.searchsorted(thresholds, scores, side="right")
    found = []
    for wanted in (labels, ~labels):
        cell = groups[wanted] * (len(thresholds) + 1) + (len(thresholds) - reached[wanted])
        table = np.bincount(cell, minlength=len(names) * (len(thresholds) + 1)).astype(np.float64)
        table = table.reshape(len(names), len(thresholds) + 1)
        running = np.cumsum(table, axis=1)
        if key == "qbe_mtwv":
            running /= np.maximum(running[:, -1:], 1)
        found.append(running)
    return found[0], found[1]


def _eer(counted: tuple[Array, Array], drawn: Array) -> Array:
    import numpy as np

    values = []
    for part in np.array_split(drawn, max(1, len(drawn) * counted[0].shape[1] // 2_000_000)):
        accepted, false = part @ counted[0], part @ counted[1]
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


def _mtwv(counted: tuple[Array, Array], drawn: Array) -> Array:
    import numpy as np

    worth = counted[0] - BETA * counted[1]
    # The last column is everything below the lowest target's score: no threshold of a best TWV.
    twv = (drawn @ worth[:, :-1]) / drawn.sum(axis=1, keepdims=True)
    return 100 * np.maximum(twv.max(axis=1), 0.0)
