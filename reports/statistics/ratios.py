"""Draws of metrics that are a sum over a sum: WER, PER, accuracy, DER, slot F1 and CER."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.evidence import Evidence, Item
from reports.statistics.resample import Draws, combined, weights, widened

if TYPE_CHECKING:
    from reports.statistics.resample import Array


@dataclass(frozen=True)
class Sums:
    """A stratum's sums by group: `numerators` and `denominators` are `[group]`, groups sorted by name."""

    groups: tuple[str, ...]
    numerators: Array
    denominators: Array


def sums(items: Sequence[Item]) -> Sums:
    """Add up the items of each group."""
    import numpy as np

    found: dict[str, list[float]] = {}
    for item in items:
        pair = found.setdefault(item.group, [0.0, 0.0])
        pair[0] += item.numerator
        pair[1] += item.denominator
    names = tuple(sorted(found))
    table = np.array([found[name] for name in names], dtype=np.float64)
    return Sums(names, table[:, 0], table[:, 1])


def draws(evidence: Evidence) -> Draws | None:
    """The metric under resampling of its groups, within each stratum; None if one has a single group."""
    return _strata(evidence.task, evidence.unit, [sums(stratum) for stratum in evidence.items], None)


def difference(first: Evidence, second: Evidence) -> Draws | None:
    """The second minus the first, both on the same draws of the same groups."""
    ours, theirs = ([sums(stratum) for stratum in evidence.items] for evidence in (first, second))
    return _strata(first.task, first.unit, ours, theirs)


def _strata(task: str, unit: str, ours: list[Sums], theirs: list[Sums] | None) -> Draws | None:
    import numpy as np

    parts = []
    for number, stratum in enumerate(ours):
        count = len(stratum.groups)
        if count < 2:
            return None
        drawn = weights(count, f"{task}/{number}")
        ones = np.ones((1, count))
        point, values = _rate(stratum, ones), _rate(stratum, drawn)
        if theirs is not None:
            point, values = _rate(theirs[number], ones) - point, _rate(theirs[number], drawn) - values
        parts.append(Draws(float(point[0]), widened(float(point[0]), values, count), count - 1, count, unit))
    return parts[0] if len(parts) == 1 else combined(parts, unit)


def _rate(stratum: Sums, drawn: Array) -> Array:
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        rate: Array = 100 * (drawn @ stratum.numerators) / (drawn @ stratum.denominators)
    return rate
