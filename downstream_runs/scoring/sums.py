"""The one sum of floats behind scores, with the same last digit on every Python."""

from __future__ import annotations

from collections.abc import Iterable


def in_order(values: Iterable[float]) -> float:
    """Add from left to right, rounding after each addition.

    Python's own `sum` does this up to 3.11 and carries the rounding errors along since 3.12, so its last
    digit depends on the version. The published numbers come from versions before.
    """
    total = 0.0
    for value in values:
        total += value
    return total
