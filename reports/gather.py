"""All results of ours in one place: rows, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports import columns, evidence, rows, store
from reports.evidence import Evidence
from reports.rows import Row


@dataclass(frozen=True)
class Collection:
    """What was found.

    rows: ours, sorted by name, which no two share.
    problems: sentences about files that cannot be used.
    notes: sentences about what is not shown.
    """

    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def gather(places: Sequence[Path] = ()) -> Collection:
    """Read the results in `places`, by default those below runs/.

    Raises ReportError for a place that is absent.
    """
    found = store.find(places)
    known = [(path, result) for path, result in found.results if result.task in columns.TASKS]
    notes = [sentence for _, sentence in found.unfinished]
    notes += [
        f"{path}: the task {result.task!r} has no column in these tables"
        for path, result in found.results
        if result.task not in columns.TASKS
    ]
    problems = tuple(sentence for _, sentence in found.problems)
    return Collection(tuple(rows.our_rows(known)), problems, tuple(notes))


def evidence_of(row: Row) -> tuple[Mapping[str, Evidence], list[str]]:
    """Column key -> the test items or trials beside the row's results, checked, and what is wrong with them.

    They are by far the largest part of a run: nothing keeps those of all rows.
    """
    found: dict[str, Evidence] = {}
    problems: list[str] = []
    for path, result in row.runs:
        usable, wrong = evidence.read(path, result)
        found.update(usable)
        problems += wrong
    return found, problems
