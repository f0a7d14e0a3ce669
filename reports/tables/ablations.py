"""What the paper's Tables 2, 3 and 4 share: four metrics of three tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.columns import BY_KEY
from reports.rows import Row
from reports.tables.model import Cell, Head, printed

COLUMNS = tuple(BY_KEY[key] for key in ("asr_wer", "asv_eer", "sf_f1", "sf_cer"))
HEADS = tuple(Head(column.header, better=column.better) for column in COLUMNS)


def values(row: Mapping[str, str]) -> tuple[Cell, ...]:
    """The four published numbers of a row."""
    return tuple(printed(row[column.key]) for column in COLUMNS)


def usable(rows: Sequence[Row]) -> list[Row]:
    """Our rows that have one of the four metrics."""
    return [row for row in rows if any(column.key in row.cells for column in COLUMNS)]
