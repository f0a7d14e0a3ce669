"""The table that lists a sample's recordings."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from upstream_arm.common.errors import UsageError


def read(table: Path, columns: Sequence[str], expected: str) -> list[tuple[str, dict[str, str]]]:
    """Each row of a tab-separated table as where it stands, for messages, and its cells of `columns`.

    A cell that a row does not have is empty. UsageError if the table cannot be read or lacks a column;
    `expected`: what the folder should hold, for that message.
    """
    try:
        text = table.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {table} ({error}); name a folder with {expected}") from None
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [column for column in columns if column not in (rows.fieldnames or ())]
    if missing:
        raise UsageError(
            f"{table} has no column {missing[0]}, expected {', '.join(columns)} in its first line"
        )
    return [
        (f"{table} line {rows.line_num}", {column: row[column] or "" for column in columns}) for row in rows
    ]
