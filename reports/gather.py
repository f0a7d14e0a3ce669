"""All results of ours in one place: rows, what they were computed from, and what is wrong."""

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
    evidence: row name -> column key -> test items or trials.
    problems: sentences about files that cannot be used.
    notes: sentences about what is not shown.
    """

    rows: tuple[Row, ...]
    evidence: Mapping[str, Mapping[str, Evidence]]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def gather(places: Sequence[Path] = ()) -> Collection:
    """Read the results in `places`, by default those below runs/, with the items and trials beside them.

    Raises ReportError for a place that is absent.
    """
    found = store.find(places)
    known = [(path, result) for path, result in found.results if result.task in columns.TASKS]
    ours = rows.our_rows(known)
    problems = [sentence for _, sentence in found.problems]
    by_row: dict[str, dict[str, Evidence]] = {}
    for row in ours:
        by_row[row.name] = {}
        for path, result in row.runs:
            usable, wrong = evidence.read(path, result)
            by_row[row.name].update(usable)
            problems += wrong
    notes = [sentence for _, sentence in found.unfinished]
    notes += [
        f"{path}: the task {result.task!r} has no column in these tables"
        for path, result in found.results
        if result.task not in columns.TASKS
    ]
    return Collection(tuple(ours), by_row, tuple(problems), tuple(notes))
