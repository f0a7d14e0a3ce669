"""What a table is before it is printed as Markdown, LaTeX, CSV or HTML."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

MISSING = "–"
#: How many names a note lists before it says how many more there are.
NAMES = 6


@dataclass(frozen=True)
class Head:
    """A column.

    text: printed on top, with an arrow if one side is better.
    group: printed above neighbours of the same group, as the paper does.
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


@dataclass(frozen=True)
class Block:
    """Rows under one title.

    warning: printed above the rows.
    ranked: whether the best and second best are marked.
    """

    title: str
    rows: tuple[tuple[Cell, ...], ...]
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


def text(content: str) -> Cell:
    """A cell of text."""
    return Cell(content or MISSING)


def printed(content: str) -> Cell:
    """A published number with its digits."""
    try:
        return Cell(content, float(content))
    except ValueError:
        return text(content)


def number(value: float | None, digits: int, marks: str = "") -> Cell:
    """A number of ours; one with a mark is not a source's own and does not compete."""
    return Cell(MISSING) if value is None else Cell(f"{value:.{digits}f}", value, marks, competes=not marks)


def ranked(table: Table) -> Table:
    """The table with best and second best marked in its ranked blocks; equal printed values share a mark."""
    blocks = (_ranked(block, table.heads) if block.ranked else block for block in table.blocks)
    return dataclasses.replace(table, blocks=tuple(blocks))


def _ranked(block: Block, heads: Sequence[Head]) -> Block:
    if len(block.rows) < 2:
        return block
    columns = [
        _emphasised([row[index] for row in block.rows], head.better) for index, head in enumerate(heads)
    ]
    return dataclasses.replace(block, rows=tuple(zip(*columns, strict=True)))


def _emphasised(cells: list[Cell], better: str) -> list[Cell]:
    values = sorted({float(cell.text) for cell in cells if cell.value is not None and cell.competes})
    if not better or len(values) < 2:
        return cells
    best, second = (values[0], values[1]) if better == "lower" else (values[-1], values[-2])
    found = []
    for cell in cells:
        own = None if cell.value is None or not cell.competes else float(cell.text)
        if own == best:
            cell = dataclasses.replace(cell, emphasis="best")
        elif own == second:
            cell = dataclasses.replace(cell, emphasis="second")
        found.append(cell)
    return found


def listed(names: Iterable[str]) -> str:
    """Names in a sentence, cut after NAMES of them."""
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - NAMES} more" if len(every) > NAMES else ""
    return ", ".join(every[:NAMES]) + more


def grouped_notes(said: Mapping[str, Sequence[str]]) -> list[str]:
    """One note for each sentence, with the rows it is about in front."""
    return [f"{listed(names)}: {sentence}." for sentence, names in said.items()]
