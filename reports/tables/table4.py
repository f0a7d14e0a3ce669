"""The paper's Table 4: masking ratios."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from reports import published
from reports.rows import Row
from reports.tables import ablations, ours
from reports.tables.model import Block, Head, Table, ranked, text


def table(rows: Sequence[Row]) -> Table:
    """Table 4 with `rows` of ours that have one of its metrics."""
    rows = ablations.usable(rows)
    blocks = [
        Block(
            f"Published: {model}",
            tuple((text(row["model"]), text(row["mask_ratio"]), *ablations.values(row)) for row in members),
            ranked=True,
        )
        for model, members in groupby(published.ablation(4), key=lambda row: row["model"])
    ]
    blocks += ours.blocks(rows, lambda row: (text(row.name), text(""), *ours.values(row, ablations.COLUMNS)))
    notes = (
        "As printed in arXiv 2305.11685, Table 4; 0.4 to 0.8 linear is the ratio that grows during training.",
        *ours.notes(rows, ablations.COLUMNS),
    )
    heads = (Head("Model"), Head("Masking ratio"), *ablations.HEADS)
    return ranked(Table("table4", "Table 4: masking ratio", heads, tuple(blocks), notes))
