"""Rows that others published, word for word as they printed them; SOURCES.md says where each is from."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE1 = Path(__file__).parent / "table1.csv"


@dataclass(frozen=True)
class PublishedRow:
    """One printed row.

    group: the part of the table it stands in ("960h 26.4M-31.6M"), since a model name can be there twice.
    model: the name as printed.
    params_m: parameters in millions, as printed.
    values: the other printed numbers by column of the file (`asr_wer`), as text with the printed digits.
    source: publication and table.
    """

    group: str
    model: str
    params_m: str
    values: Mapping[str, str]
    source: str


def table1() -> tuple[PublishedRow, ...]:
    """Table 1 of "Recycle-and-Distill" (arXiv 2305.11685), in its order."""
    with TABLE1.open(encoding="utf-8", newline="") as file:
        return tuple(
            PublishedRow(
                group=row.pop("group"),
                model=row.pop("model"),
                params_m=row.pop("params_m"),
                source=row.pop("source"),
                values=row,
            )
            for row in csv.DictReader(file)
        )
