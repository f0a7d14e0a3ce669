"""A table as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from reports.tables.model import Block, Cell, Head, Table


def render(table: Table, level: int = 2) -> str:
    """The table with its title as a heading, one Markdown table a block, notes as a list."""
    parts = [f"{'#' * level} {_plain(table.title)}"]
    for block in table.blocks:
        parts.append(f"{'#' * (level + 1)} {_plain(block.title)}")
        if block.warning:
            parts.append(f"> {_plain(block.warning)}")
        parts.append(_grid(table.heads, block))
    if table.notes:
        parts.append("\n".join(f"- {_plain(note)}" for note in table.notes))
    return "\n\n".join(parts) + "\n"


def _grid(heads: Sequence[Head], block: Block) -> str:
    numeric = [any(row[index].value is not None for row in block.rows) for index in range(len(heads))]
    lines = [
        [
            _plain(f"{head.text} ({head.group.lower()})" if _shared(heads, head) else head.text)
            for head in heads
        ],
        ["--:" if is_number else ":--" for is_number in numeric],
        *([_cell(cell) for cell in row] for row in block.rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shared(heads: Sequence[Head], head: Head) -> bool:
    """Is the group needed to tell this column from another?"""
    return sum(other.text == head.text for other in heads) > 1


def _cell(cell: Cell) -> str:
    body = _plain(cell.text)
    if cell.emphasis == "best":
        body = f"**{body}**"
    elif cell.emphasis == "second":
        body = f"<u>{body}</u>"
    return f"{body} {cell.marks}" if cell.marks else body


def _plain(text: str) -> str:
    """Text in one line that neither ends a cell nor starts markup."""
    one_line = " ".join(text.split())
    for sign in "\\|*<`":
        one_line = one_line.replace(sign, f"\\{sign}")
    return one_line
