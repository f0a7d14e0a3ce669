"""How a name or a value stands in a sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def near(wanted: str, known: Iterable[object]) -> str:
    """`, did you mean 'x'?` for the nearest known name, or nothing; swapped letters count as near."""
    options = [str(option) for option in known]
    swapped = [option for option in options if sorted(option) == sorted(wanted)]
    close = swapped or difflib.get_close_matches(wanted, options, n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""


def shown(value: object, longest: int = 120) -> str:
    """A value on one line, and without its middle where it is long."""
    try:
        text = repr(value)
    except ValueError:  # a number with more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= longest else f"{text[: longest // 2]}...{text[-10:]}"


def span(low: str, high: str) -> str:
    """From one written number to another, or the number that both are."""
    return low if low == high else f"{low}-{high}"


def columns(rows: Sequence[Sequence[str]], right: Iterable[int] | None = None) -> list[str]:
    """Rows of cells as lines: the columns `right` (by default all but the first) end below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ends = set(range(1, len(widths)) if right is None else right)
    return [
        "  ".join(
            cell.rjust(width) if index in ends else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
