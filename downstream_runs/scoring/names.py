"""Two sets of names that must be the same, so that no score is ever a quiet partial one."""

from __future__ import annotations

from collections.abc import Collection

from upstream_arm.common.errors import UsageError

SHOWN = 5  # how many names an error message lists


class ScoringError(UsageError):
    """Input that cannot be scored: unreadable, named twice, or not the same items on both sides."""


def same(
    ref: Collection[str],
    hyp: Collection[str],
    reference: str = "reference utterances",
    hypothesis: str = "hypotheses",
    advice: str = "give the two files of one decoding of the whole set",
) -> None:
    """Raise ScoringError, naming the first ones, when a name is in only one of `ref` and `hyp`.

    reference, hypothesis: what the names on each side stand for; advice: what to do about it.
    """
    missing = sorted(set(ref) - set(hyp))
    surplus = sorted(set(hyp) - set(ref))
    if not missing and not surplus:
        return
    singular = hypothesis.replace("hypotheses", "hypothesis")
    found = []
    if missing:
        found.append(f"{len(missing)} of {len(ref)} {reference} have no {singular} ({first(missing)})")
    if surplus:
        found.append(f"{len(surplus)} {hypothesis} have no reference ({first(surplus)})")
    raise ScoringError(f"{' and '.join(found)}, so nothing was scored: {advice}")


def first(names: list[str]) -> str:
    """The first few names, for an error message."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
