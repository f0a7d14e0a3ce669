"""The edit distance of two sequences, by whichever of two packages is installed.

editdistance, which s3prl imports, has wheels up to Python 3.12, rapidfuzz for every version. A test holds the
two against each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence

from upstream_arm.common.errors import UsageError

Distance = Callable[[Sequence[Hashable], Sequence[Hashable]], int]


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """The fewest substitutions, insertions and deletions that make `second` of `first`.

    Raises UsageError where neither editdistance nor rapidfuzz is installed.
    """
    return _installed()(first, second)


@functools.cache
def _installed() -> Distance:
    try:
        import editdistance
    except ImportError:
        return rapidfuzz_distance
    found: Distance = editdistance.eval
    return found


def rapidfuzz_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """The same by rapidfuzz; what s3prl calls as `editdistance.eval` where that is not installed."""
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError:
        raise UsageError(
            "error rates need an edit distance: install one with `pip install rapidfuzz`, then run again"
        ) from None
    return Levenshtein.distance(first, second)
