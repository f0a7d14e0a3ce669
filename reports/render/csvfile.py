"""A table as CSV."""

from __future__ import annotations

import csv
import io

from reports.tables.model import MISSING, Table


def render(table: Table) -> str:
    """One line a row, its block in front and its warning behind; missing values are empty, notes left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "Block",
            *(f"{head.group}: {head.text}" if head.group else head.text for head in table.heads),
            "Warning",
        ]
    )
    for block in table.blocks:
        for row in block.rows:
            cells = ["" if cell.text == MISSING else f"{cell.text}{cell.marks}" for cell in row]
            writer.writerow([block.title, *cells, block.warning])
    return text.getvalue()
