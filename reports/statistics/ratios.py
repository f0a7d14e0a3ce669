"""Draws of metrics that are a sum over a sum: WER, PER, accuracy, DER, slot F1 and CER."""

from __future__ import annotations

import numpy as np

from reports.items import ScoredItems, Stratum
from reports.statistics.resample import Array, Draws, combined, weights, widened


def sums(stratum: Stratum) -> Array:
    """`[2, group]`: the numerators and denominators of each group, groups sorted by name."""
    count = len(stratum["names"])
    return np.array(
        [np.bincount(stratum["group"], stratum[name], count) for name in ("numerator", "denominator")]
    )


def draws(first: ScoredItems, second: ScoredItems | None = None) -> Draws | None:
    """The metric under resampling of its groups, within each stratum; None if one has a single group.

    With a second system: the second minus the first, both on the same draws of the same groups.
    """
    parts = []
    for number, items in enumerate(first.strata):
        stratum = sums(items)
        count = stratum.shape[1]
        if count < 2:
            return None
        drawn, ones = weights(count, f"{first.task}/{number}"), np.ones((1, count))
        point, values = _rate(stratum, ones), _rate(stratum, drawn)
        if second is not None:
            other = sums(second.strata[number])
            point, values = _rate(other, ones) - point, _rate(other, drawn) - values
        wide = widened(float(point[0]), values, count)
        parts.append(Draws(float(point[0]), wide, count - 1, count, first.unit))
    return parts[0] if len(parts) == 1 else combined(parts, first.unit)


def _rate(stratum: Array, drawn: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        rate: Array = 100 * (drawn @ stratum[0]) / (drawn @ stratum[1])
    return rate
