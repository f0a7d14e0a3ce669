"""What is wrong with a corpus, and what mends it."""

from __future__ import annotations

from collections.abc import Sequence

from upstream_arm.common.errors import UsageError


class Problem(str):
    """A sentence about one line or file, without its end, and `remedy`, which mends it alone."""

    remedy: str

    def __new__(cls, what: str, remedy: str) -> Problem:
        problem = super().__new__(cls, what)
        problem.remedy = remedy
        return problem


def require_none(found: Sequence[str], advice: str) -> None:
    """Raise UsageError with the first problem, the number of others, and what to do, if there are any.

    A `Problem` is mended by its own remedy; `advice` is for the whole corpus.
    """
    if found:
        others = len(found) - 1
        more = f" (and {others:,} more {'problem' if others == 1 else 'problems'})" if others else ""
        if isinstance(found[0], Problem):
            advice = f"{found[0].remedy}, or {advice}"
        raise UsageError(f"{found[0]}{more}; {advice}")
