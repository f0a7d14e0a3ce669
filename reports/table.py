"""What a table is before it is printed as Markdown, LaTeX, CSV or HTML."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

MISSING = "–"
#: How many names a note lists before it says how many more there are.
NAMES = 6


@dataclass(frozen=True)
class Head:
    """A column's head; neighbours of one `group` share it above them.

    better: the side that is marked within a block; empty for a column that is not ranked.
    detail: left out in LaTeX, where a page is narrow.
    """

    text: str
    group: str = ""
    better: Literal["", "lower", "higher"] = ""
    detail: bool = False


@dataclass(frozen=True)
class Cell:
    """One printed value.

    value: what the page sorts by and what is ranked; None for text.
    marks: signs behind the value that a note explains.
    emphasis: `best` is printed bold, `second` underlined.
    competes: whether it can be the best of its column.
    """

    text: str
    value: float | None = None
    marks: str = ""
    emphasis: Literal["", "best", "second"] = ""
    competes: bool = True


EMPTY = Cell(MISSING)
#: A column of a table: its head, and what makes the cell of an entry, for example of a system.
TableColumn: TypeAlias = tuple[Head, Callable[[Any], Cell]]


@dataclass(frozen=True)
class Block:
    """Rows under one title: entries before `made` turns them into cells, then cells.

    warning: printed above the rows.
    ranked: whether the best and second best are marked.
    """

    title: str
    rows: tuple[Any, ...]
    warning: str = ""
    ranked: bool = False


@dataclass(frozen=True)
class Table:
    """A whole table; `key` is its file name, `notes` are printed under it."""

    key: str
    title: str
    heads: tuple[Head, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()


def made(
    key: str, title: str, columns: Sequence[TableColumn], blocks: Iterable[Block], notes: Iterable[str] = ()
) -> Table:
    """The table of these columns, a row for each entry of a block.

    In ranked blocks best and second best are marked; equal printed values share a mark.
    """
    heads = tuple(head for head, _ in columns)
    filled = []
    for block in blocks:
        by_column = [[cell(entry) for entry in block.rows] for _, cell in columns]
        if block.ranked:
            by_column = [
                _emphasised(cells, head.better) for cells, head in zip(by_column, heads, strict=True)
            ]
        filled.append(dataclasses.replace(block, rows=tuple(zip(*by_column, strict=True))))
    return Table(key, title, heads, tuple(filled), tuple(notes))


def of_cells(heads: Iterable[Head]) -> list[TableColumn]:
    """The columns of entries that are rows of cells already."""
    return [(head, operator.itemgetter(place)) for place, head in enumerate(heads)]


def _emphasised(cells: list[Cell], better: str) -> list[Cell]:
    own = [None if cell.value is None or not cell.competes else float(cell.text) for cell in cells]
    values = sorted({value for value in own if value is not None}, reverse=better == "higher")
    if not better or len(values) < 2:
        return cells
    marks: dict[float | None, Literal["best", "second"]] = {values[0]: "best", values[1]: "second"}
    return [
        dataclasses.replace(cell, emphasis=marks.get(value, ""))
        for cell, value in zip(cells, own, strict=True)
    ]


def text(content: str) -> Cell:
    """A cell of text."""
    return Cell(content or MISSING)


def printed(content: str) -> Cell:
    """A number with the digits that it was printed with; text where it is none."""
    try:
        return Cell(content, float(content))
    except ValueError:
        return text(content)


def number(value: float | None, digits: int, marks: str = "") -> Cell:
    """A number of ours; one with a mark is not a source's own and does not compete."""
    return EMPTY if value is None else Cell(f"{value:.{digits}f}", value, marks, competes=not marks)


def listed(names: Iterable[str]) -> str:
    """Names in a sentence, cut after NAMES of them."""
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - NAMES} more" if len(every) > NAMES else ""
    return ", ".join(every[:NAMES]) + more


def grouped_notes(names_by_sentence: Mapping[str, Sequence[str]]) -> list[str]:
    """One note for each sentence, with the systems it is about in front."""
    return [f"{listed(names)}: {sentence}." for sentence, names in names_by_sentence.items()]


_NUMBER = r"[+-]?[\d.]+(e[+-]?\d+)?"
#: A number, with the marks of a table, or an interval.
_NUMBERS = re.compile(rf"{_NUMBER}[*†‡]*( to {_NUMBER})?", re.IGNORECASE)


#: Control characters besides tab and line end, and those without a shape: they turn the direction of writing,
#: for example, or hide a part of a name.
_CONTROLS = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb"
    "\\U000e0000-\\U000e007f]"
)


def printable(content: str) -> str:
    """Text without control characters; tabs and line ends stay."""
    return _CONTROLS.sub("", content)


def harmless(content: str) -> str:
    """A cell of a CSV file that no spreadsheet takes for a formula, which starts with = + - @.

    Numbers stay as they are.
    """
    clean = " ".join(printable(content).split())
    return f"'{clean}" if clean.startswith(("=", "+", "-", "@")) and not _NUMBERS.fullmatch(clean) else clean
