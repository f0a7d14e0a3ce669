"""Paired tests between two systems on the same test items.

- Metrics that are a sum over a sum: permutation. Under "the two are equal" the two systems' shares may be
  swapped in any group; the p-value is the share of swaps with a difference at least as large. All 2^n swaps
  of up to EXACT groups, else SWAPS random ones with the observed one among them.
- WER and PER also by matched pairs (Gillick and Cox 1989): the mean difference of errors of an utterance over
  its standard error, as normal. Utterances stand for the segments of that paper, which must be independent;
  where a speaker has several utterances they are not quite, and its p-value is too small.
- EER and MTWV, and the overall score: paired bootstrap, both systems on the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reports.columns import BY_KEY
from reports.items import ScoredItems, same_items
from reports.statistics import ratios, trials
from reports.statistics.ratios import sums
from reports.statistics.resample import Array, Draws, Interval, interval, two_sided

EXACT = 12
SWAPS = 10_000
#: Swaps of how many groups are multiplied at once: these fit a processor's cache.
PIECE = 100_000
SIGNIFICANT = 0.05
MATCHED = frozenset({"asr_wer", "pr_per"})


@dataclass(frozen=True)
class Comparison:
    """The second system minus the first on one metric, in percent.

    interval: of the difference; None where the groups are too few.
    p: of "no difference"; method: the test that gave it.
    matched_pairs: the p-value of matched pairs, for WER and PER. draws: of the difference.
    """

    key: str
    difference: float
    interval: Interval | None
    p: float
    method: str
    matched_pairs: float | None = None
    draws: Draws | None = field(default=None, repr=False, compare=False)

    def verdict(self, first: str, second: str) -> str:
        """The one sentence about who is better; never without its p-value."""
        shown = p_text(self.p)
        if self.p >= SIGNIFICANT or self.difference == 0:
            return f"no difference shown ({shown})"
        higher = BY_KEY[self.key].better == "higher" if self.key in BY_KEY else True
        better = second if (self.difference > 0) == higher else first
        return f"{better} is better ({shown})"


def p_text(p: float) -> str:
    """A p-value as printed: "p = 0.012" or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def compare(first: ScoredItems, second: ScoredItems) -> Comparison | str:
    """Test one metric of two systems; a sentence where they cannot be paired."""
    if not same_items(first, second):
        return "not the same test items"
    unit = first.unit
    if first.of_trials:
        drawn = trials.draws(first, second)
        if drawn is None:
            return f"a single {unit} gives no test"
        return of_draws(first.key, drawn, f"paired bootstrap by {unit}")
    ours, theirs = ([sums(stratum) for stratum in scored.strata] for scored in (first, second))
    p, difference = permutation(ours, theirs)
    matched = None
    if first.key in MATCHED:
        before, after = (
            np.concatenate([one["numerator"][np.argsort(one["item"])] for one in scored.strata])
            for scored in (first, second)
        )
        matched = matched_pairs((after - before).tolist())
    groups = sum(stratum.shape[1] for stratum in ours)
    method = f"permutation by {unit}"
    if smallest(groups) > SIGNIFICANT:
        method += f"; {groups} of them cannot give less than p = {smallest(groups):.2g}"
    drawn = ratios.draws(first, second)
    return Comparison(first.key, difference, interval(drawn), p, method, matched, drawn)


def smallest(groups: int) -> float:
    """The smallest p-value that swapping this many groups can give: of the observed order and its mirror."""
    return 2.0 ** (1 - groups)


def of_draws(key: str, drawn: Draws, method: str) -> Comparison:
    """A paired bootstrap's result from the draws of the difference."""
    return Comparison(key, drawn.point, interval(drawn), two_sided(drawn), method, draws=drawn)


def permutation(first: Sequence[Array], second: Sequence[Array]) -> tuple[float, float]:
    """The p-value of "no difference" and the difference second - first in percent, mean over the strata.

    The strata are as `sums` gives them.
    """
    groups = sum(stratum.shape[1] for stratum in first)
    swaps = _swaps(groups)
    observed = _swapped(first, second, np.zeros((1, groups)))[0]
    pieces = max(1, len(swaps) * groups // PIECE)
    differences = np.concatenate(
        [
            _swapped(first, second, np.unpackbits(part, axis=1, count=groups).astype(np.float64))
            for part in np.array_split(swaps, pieces)
        ]
    )
    extreme = np.abs(differences) >= abs(observed) - 1e-9 * max(1.0, abs(observed))
    return float(extreme.mean()), float(observed)


@lru_cache(maxsize=16)  # more than there are metrics, which take turns
def _swaps(groups: int) -> NDArray[np.uint8]:
    """`[swap, group]`, eight groups to a byte: 1 where they are exchanged; the first is the observed one."""
    if groups <= EXACT:
        swaps = (np.arange(2**groups)[:, None] >> np.arange(groups)) & 1
    else:
        swaps = np.random.default_rng(20230519).integers(0, 2, size=(SWAPS, groups), dtype=np.int8)
        swaps[0] = 0
    return np.packbits(swaps, axis=1)


def _swapped(first: Sequence[Array], second: Sequence[Array], swaps: Array) -> Array:
    """`[swap]`: the difference in percent where the groups with a 1 are exchanged."""
    total = np.zeros(len(swaps))
    start = 0
    for ours, theirs in zip(first, second, strict=True):
        part = swaps[:, start : start + ours.shape[1]]
        start += ours.shape[1]
        # Denominators seldom differ, and then there is nothing to add up.
        over, under = (part @ one if one.any() else np.zeros(len(part)) for one in theirs - ours)
        before = (ours[0].sum() + over) / (ours[1].sum() + under)
        after = (theirs[0].sum() - over) / (theirs[1].sum() - under)
        total += 100 * (after - before)
    return total / len(first)


def matched_pairs(differences: Sequence[float]) -> float | None:
    """Two-sided p-value of Gillick and Cox's matched pairs; None for fewer than two utterances."""
    count = len(differences)
    if count < 2:
        return None
    mean = math.fsum(differences) / count
    variance = math.fsum((value - mean) ** 2 for value in differences) / (count - 1)
    if variance == 0:
        return 1.0 if mean == 0 else 0.0
    return math.erfc(abs(mean) / math.sqrt(variance / count) / math.sqrt(2))
