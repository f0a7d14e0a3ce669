"""The paper's Table 1: eleven metrics and the overall score, ours below it in blocks of their own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from reports import published, scores
from reports.columns import COLUMNS
from reports.rows import Row
from reports.tables import ours
from reports.tables.model import Block, Cell, Head, Table, number, printed, ranked, text

BLOCKS = {
    "baselines": "Baselines",
    "960h 26.4M-31.6M": "960h distillation, 26.4M to 31.6M parameters",
    "960h 22.4M-23.5M": "960h distillation, 22.4M to 23.5M parameters",
    "100h": "100h distillation",
}


def table(rows: Sequence[Row]) -> Table:
    """Table 1 with `rows` of ours."""
    heads = (
        Head("Model"),
        Head("Params (M) ↓"),
        Head("Overall ↑", better="higher"),
        *(Head(column.header, column.group, column.better) for column in COLUMNS),
        Head("Source", detail=True),
    )
    blocks = [
        Block(BLOCKS.get(group, group), tuple(_published(row) for row in members), ranked=True)
        for group, members in groupby(published.table1(), key=lambda row: row.group)
    ]
    blocks += ours.blocks(rows, _ours)
    notes = [
        "Percent; QbE as a fraction. Overall: the mean of eleven metrics, error rates as 100 minus the "
        "rate; slot "
        "filling counts twice. Within a block the best is bold and the second underlined.",
        "Published rows as printed in arXiv 2305.11685, Table 1. FBANK is the row of the original SUPERB "
        "paper; "
        "the leaderboard's corrected row (overall 46.5) is in the table of all systems.",
        "LightHuBERT is trained in two stages with a supernet of HuBERT's size, which the paper does not "
        "compare "
        "with the others.",
        "SD: numbers published in 2021 may come from s3prl's tag of that year, whose frame_shift is 160 "
        "samples; s3prl 0.4.18 takes the upstream's own, 320 for HuBERT and its students.",
        "QbE: the official MTWV counts queries in other languages, which are not searched, as missed; the "
        "leaderboard's own log of the official tool shows default scores for all of them.",
        *ours.notes(rows, COLUMNS),
        *ours.conflicts(rows),
    ]
    return ranked(Table("table1", "Table 1: SUPERB", heads, tuple(blocks), tuple(notes)))


def _published(row: published.PublishedRow) -> tuple[Cell, ...]:
    return (
        text(row.model),
        printed(row.params_m),
        printed(row.values["overall"]),
        *(printed(row.values[column.key]) for column in COLUMNS),
        text(f"published: {row.source}"),
    )


def _ours(row: Row) -> tuple[Cell, ...]:
    overall = scores.overall(row.percent())
    return (
        text(row.name),
        printed(row.params_m),
        number(overall, 1),
        *ours.values(row, COLUMNS),
        text("ours"),
    )
