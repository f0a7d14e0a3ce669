"""The paper's Table 3: parts of the masking strategy left out."""

from __future__ import annotations

from collections.abc import Sequence

from reports import published
from reports.rows import Row
from reports.tables import ablations, ours
from reports.tables.model import Block, Head, Table, ranked, text


def table(rows: Sequence[Row]) -> Table:
    """Table 3 with `rows` of ours that have one of its metrics."""
    rows = ablations.usable(rows)
    lines = tuple((text(row["method"]), *ablations.values(row)) for row in published.ablation(3))
    blocks = (
        Block("Published: distilled on 100h", lines, ranked=True),
        *ours.blocks(rows, lambda row: (text(row.name), *ours.values(row, ablations.COLUMNS))),
    )
    notes = (
        "As printed in arXiv 2305.11685, Table 3; [-] is MaskHuBERT-100h without that part of the strategy.",
        *ours.notes(rows, ablations.COLUMNS),
    )
    heads = (Head("Method"), *ablations.HEADS)
    return ranked(Table("table3", "Table 3: masking strategy", heads, blocks, notes))
