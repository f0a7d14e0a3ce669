"""Resampling of groups, and what every interval is made with.

The groups of a test set (speakers, queries, or single utterances where nothing ties them) are drawn with
replacement, as many as there are. All draws come from fixed seeds, one for each task: two systems on the same
test items see the same draws, which pairs them, and two tasks see independent ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from downstream_runs.scoring.sums import in_order

Array: TypeAlias = NDArray[np.float64]

DRAWS = 1000
LEVEL = 0.95
#: Below this many groups an interval is called rough: coverage falls under 93 % in the tests' simulation.
FEW = 10


@dataclass(frozen=True)
class Draws:
    """A metric, or a difference of two, as it might have come out on other test items of the same kind.

    point: the value itself, in percent.
    values: `[draw]`, in percent, already widened by sqrt(n / (n - 1)) for n groups.
    freedom: degrees of freedom of their spread.
    groups: how many groups were resampled, over all strata.
    unit: what a group is.
    """

    point: float
    values: Array
    freedom: float
    groups: int
    unit: str


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval in percent, and how it was made."""

    low: float
    high: float
    groups: int
    unit: str

    @property
    def how(self) -> str:
        """In words: "by 40 speakers"; rough where the groups are too few to trust the level."""
        units = self.unit if self.groups == 1 else f"{self.unit}s".replace("ys", "ies")
        return f"by {self.groups} {units}{', rough' if self.groups < FEW else ''}"


def weights(groups: int, stream: str) -> Array:
    """`[DRAWS, groups]`: how often each group is in each draw; the same for the same arguments everywhere."""
    return _weights(groups, stream).astype(np.float64)


@lru_cache(maxsize=16)  # more than there are tasks, whose streams take turns
def _weights(groups: int, stream: str) -> NDArray[np.uint16]:
    seed = int.from_bytes(hashlib.sha256(f"{stream}/{groups}".encode()).digest()[:8], "big")
    chosen = np.random.default_rng(seed).integers(0, groups, size=(DRAWS, groups))
    kept = np.empty((DRAWS, groups), np.uint16)  # a quarter of the memory
    for draw, row in zip(kept, chosen, strict=True):
        draw[:] = np.bincount(row, minlength=groups)
    return kept


def widened(point: float, values: Array, groups: int) -> Array:
    """Draws moved away from the point by sqrt(n / (n - 1)): resampling n groups understates their spread."""
    return point + (groups / (groups - 1)) ** 0.5 * (values - point)


def interval(draws: Draws | None, level: float = LEVEL) -> Interval | None:
    """The expanded percentile interval; None with fewer than two groups or where draws are undefined or all
    equal: a test set without any error does not show how often there is one.

    Percentiles are those of Student's t instead of the normal's, as Hesterberg, "What Teachers Should Know
    about the Bootstrap" (2015), proposes for few groups.
    """
    if draws is None or not np.isfinite(draws.values).all() or float(np.ptp(draws.values)) == 0:
        return None
    tail = float(ndtr(stdtrit(draws.freedom, (1 - level) / 2)))
    low, high = np.quantile(draws.values, [tail, 1 - tail])
    return Interval(float(low), float(high), draws.groups, draws.unit)


def two_sided(draws: Draws) -> float:
    """The p-value of "the difference is 0" from a bootstrap of a difference: twice the smaller tail."""
    below, above = int(np.sum(draws.values <= 0)), int(np.sum(draws.values >= 0))
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(draws.values)))


def combined(parts: Sequence[Draws], unit: str, count: int = 0, lift: float = 0.0) -> Draws:
    """The sum of independent parts and `lift` over `count`, by default as many as there are parts.

    Degrees of freedom by Welch and Satterthwaite; `lift` is in the points of the parts already.
    """
    count = count or len(parts)
    spreads = [float(np.var(part.values)) for part in parts]
    squares = in_order(spread**2 / part.freedom for spread, part in zip(spreads, parts, strict=True))
    freedom = in_order(spreads) ** 2 / squares if squares > 0 else min(part.freedom for part in parts)
    return Draws(
        point=in_order(part.point for part in parts) / count,
        values=(np.sum([part.values for part in parts], axis=0) + lift) / count,
        freedom=freedom,
        groups=sum(part.groups for part in parts),
        unit=unit,
    )
