"""How well two measurements of the same models agree on their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2_000
FEWEST = 3  # models, of which an order says anything


@dataclass(frozen=True)
class RankAgreement:
    """Kendall's tau-b, its 95 % interval by a bootstrap over the models, and how many these were.

    tau, low, high: None where all models are equal by one of the measurements, or in most draws.
    """

    models: int
    tau: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.tau is None:
            return f"none: {self.models} models, which one of the two does not tell apart"
        bounds = "no interval" if self.low is None else f"[{self.low:+.2f}, {self.high:+.2f}]"
        return f"{self.tau:+.2f} {bounds} over {self.models} models"


def agreement(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, RankAgreement]:
    """Of each measure's pairs of numbers, one a model; a measure of fewer than `FEWEST` models has none.

    Models are drawn with replacement, by a seed of their number alone.
    """
    found = {}
    for name, every in pairs.items():
        if len(every) < FEWEST:
            continue
        numbers = np.array(every)
        random = np.random.default_rng(len(every))
        drawn = [_tau(numbers[random.integers(len(every), size=len(every))]) for _ in range(DRAWS)]
        known = [tau for tau in drawn if tau is not None]
        tau = _tau(numbers)
        if tau is not None and len(known) > DRAWS / 2:
            low, high = map(float, np.percentile(known, (2.5, 97.5)))
            found[name] = RankAgreement(len(every), tau, low, high)
        else:
            found[name] = RankAgreement(len(every), tau, None, None)
    return found


def _tau(numbers: np.ndarray) -> float | None:
    """Of `[model, measurement]`: pairs in the same order less pairs in the other, by all that are no ties.

    Source: Kendall 1945, "The treatment of ties in ranking problems".
    """
    one, other = (np.sign(values[:, None] - values[None]) for values in numbers.T)
    untied = np.sqrt(np.abs(one).sum() * np.abs(other).sum())
    return float((one * other).sum() / untied) if untied else None
