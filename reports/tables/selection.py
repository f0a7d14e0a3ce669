"""Official numbers that were chosen on the test set, beside those chosen on dev (SD, ASV)."""

from __future__ import annotations

from collections.abc import Sequence

from reports.columns import BY_KEY
from reports.rows import Row, headlines
from reports.tables import ours
from reports.tables.model import Cell, Head, Table, text


def table(rows: Sequence[Row]) -> Table | None:
    """The pairs of numbers; None if no run has any."""
    blocks = ours.line_blocks(rows, _lines)
    if not blocks:
        return None
    heads = (
        Head("Run"),
        Head("Metric"),
        Head("Official, chosen on test"),
        Head("How the official one was chosen", detail=True),
        Head("Chosen on dev"),
        Head("How the other was chosen", detail=True),
    )
    notes = (
        "For these tasks SUPERB's protocol takes the best of several checkpoints or settings on the test "
        "set, "
        "which flatters; published numbers are of this kind. The number chosen on dev has seen no test data.",
    )
    return Table("selection", "Official and dev-selected numbers", heads, tuple(blocks), notes)


def _lines(row: Row) -> list[tuple[Cell, ...]]:
    found: list[tuple[Cell, ...]] = []
    for _, result in row.runs:
        for key, metric in headlines(result).items():
            other = ours.dev_selected(result.metrics, metric)
            if other is not None:
                column = BY_KEY[key]
                official, dev = column.show(metric), column.show(other)
                found.append(
                    (
                        text(row.name),
                        text(column.header),
                        Cell(official, float(official)),
                        text(metric.selection),
                        Cell(dev, float(dev)),
                        text(other.selection),
                    )
                )
    return found
