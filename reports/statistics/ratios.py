"""Draws of metrics that are a sum over a sum: WER, PER, accuracy, DER, slot F1 and CER."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reports.items import Item, ScoredItems
from reports.statistics.resample import Array, Draws, combined, weights, widened


@dataclass(frozen=True)
class Sums:
    """A stratum's sums by group: `numerators` and `denominators` are `[group]`, groups sorted by name."""

    groups: tuple[str, ...]
    numerators: Array
    denominators: Array


def sums(items: Sequence[Item]) -> Sums:
    """Add up the items of each group."""
    totals: dict[str, list[float]] = {}
    for item in items:
        pair = totals.setdefault(item.group, [0.0, 0.0])
        pair[0] += item.numerator
        pair[1] += item.denominator
    names = tuple(sorted(totals))
    table = np.array([totals[name] for name in names], dtype=np.float64)
    return Sums(names, table[:, 0], table[:, 1])


def draws(first: ScoredItems, second: ScoredItems | None = None) -> Draws | None:
    """The metric under resampling of its groups, within each stratum; None if one has a single group.

    With a second system: the second minus the first, both on the same draws of the same groups.
    """
    parts = []
    for number, items in enumerate(first.items):
        stratum = sums(items)
        count = len(stratum.groups)
        if count < 2:
            return None
        drawn, ones = weights(count, f"{first.task}/{number}"), np.ones((1, count))
        point, values = _rate(stratum, ones), _rate(stratum, drawn)
        if second is not None:
            other = sums(second.items[number])
            point, values = _rate(other, ones) - point, _rate(other, drawn) - values
        wide = widened(float(point[0]), values, count)
        parts.append(Draws(float(point[0]), wide, count - 1, count, first.unit))
    return parts[0] if len(parts) == 1 else combined(parts, first.unit)


def _rate(stratum: Sums, drawn: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        rate: Array = 100 * (drawn @ stratum.numerators) / (drawn @ stratum.denominators)
    return rate
