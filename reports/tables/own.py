"""Results of tasks of one's own: in a table of theirs, and never beside SUPERB's columns and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from downstream_runs.core.results import OWN_CORPUS, Metric, Result
from reports import item_files, ours
from reports.columns import in_percent
from reports.statistics.systems import intervals
from reports.table import Block, Cell, Head, Table, TableColumn, made, text
from reports.tables import blocks
from upstream_arm.common.errors import ReportError

if TYPE_CHECKING:
    from reports.statistics.resample import Interval

#: SUPERB's columns whose metrics are made as these are: of trials, of recordings; else of quotients, which
#: can exceed 100 where they are error rates.
COLUMNS = {"eer": "asv_eer", "der": "sd_der"}
LIKE = {"lower": "asr_wer", "higher": "ks_acc"}
TITLE = "Own corpora, not comparable to published rows"


class _Row(NamedTuple):
    """A headline of a run of a task of one's own."""

    run: str
    path: Path
    result: Result
    metric: Metric
    around: Interval | None
    how: str


def table(results: Sequence[tuple[Path, Result]]) -> Table:
    """Every number of tasks of one's own with its interval, task by task."""
    rows = sorted(_rows(results), key=lambda row: (row.result.task, row.metric.name, row.run))
    columns: list[TableColumn] = [
        (Head("Task"), lambda row: text(row.result.task)),
        (Head("Run"), lambda row: text(row.run)),
        (
            Head("Metric"),
            lambda row: text(f"{row.metric.name} {'↓' if row.metric.direction == 'lower' else '↑'}"),
        ),
        (Head("Value"), lambda row: Cell(f"{in_percent(row.metric):.2f}", in_percent(row.metric))),
        (Head("95 % interval"), lambda row: text("" if row.around is None else _ends(row.around))),
        (Head("Resampled", detail=True), lambda row: text(row.how)),
        (Head("Utterances"), lambda row: text(_counts(row.result.corpus.counts))),
        (Head("Recipe"), lambda row: text(row.result.recipe)),
        (Head("Seed"), lambda row: Cell(str(row.result.seed), row.result.seed)),
        (Head("How it was chosen", detail=True), lambda row: text(row.metric.selection)),
        (Head("What limits it", detail=True), lambda row: text(blocks.deviations(row.result))),
        (Head("Table", detail=True), lambda row: text(row.result.corpus.root)),
        (Head("SHA-256 of the data", detail=True), lambda row: text(row.result.corpus.hash[:12])),
        (Head("File", detail=True), lambda row: text(row.path.as_posix())),
    ]
    notes = [
        f"Tasks of one's own, labelled {OWN_CORPUS}: trained and scored as SUPERB's are, and in none of its "
        "scores. Rows of one task compare only where the hash of their data is the same."
    ]
    return made("own", "Tasks of one's own", columns, [Block(TITLE, tuple(rows))], notes)


def _rows(results: Sequence[tuple[Path, Result]]) -> list[_Row]:
    rows = []
    for system in ours.systems(results):
        for path, result in system.runs:
            headlines = [metric for metric in result.metrics if metric.role == "headline"]
            rows += [_Row(system.name, path, result, one, *around(path, result, one)) for one in headlines]
    return rows


def around(
    path: Path, result: Result, metric: Metric, column: str | None = None
) -> tuple[Interval | None, str]:
    """The interval of a metric, and how it was made or why there is none. column: its key, if it has one."""
    key = column or COLUMNS.get(metric.name, LIKE[metric.direction])
    try:
        scored = item_files.of_metric(path, result, metric, key)
    except ReportError as error:
        return None, str(error)
    interval = None if scored is None else intervals({key: scored}).get(key)
    return interval, "" if interval is None else interval.how


def _ends(around: Interval) -> str:
    return f"{around.low:.2f} to {around.high:.2f}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {number:,}" for split, number in counts.items())
