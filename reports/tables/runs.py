"""Every number of ours with its interval and everything that limits it, one line a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.columns import BY_KEY
from reports.rows import Row, headlines
from reports.statistics.resample import Interval
from reports.table import deviations
from reports.tables import ours
from reports.tables.model import Cell, Head, Table, text


def table(rows: Sequence[Row], intervals: Mapping[str, Mapping[str, Interval]]) -> Table | None:
    """All headline numbers; `intervals`: row name -> column key -> interval. None without runs."""
    blocks = ours.line_blocks(rows, lambda row: _lines(row, intervals.get(row.name, {})))
    if not blocks:
        return None
    heads = (
        Head("Run"),
        Head("Metric"),
        Head("Value"),
        Head("95 % interval"),
        Head("Resampled", detail=True),
        Head("Split", detail=True),
        Head("Official"),
        Head("How it was chosen", detail=True),
        Head("Recipe"),
        Head("Seed"),
        Head("Steps"),
        Head("Corpus", detail=True),
        Head("Deviations", detail=True),
        Head("File", detail=True),
    )
    notes = (
        "Intervals: expanded percentile bootstrap, 1000 draws of whole groups (speakers, queries, or "
        "utterances "
        "where the corpus names no speaker); they hold the chance of the test set, not that of training "
        "again. "
        "Rough: fewer than 10 groups. QbE's queries in other languages are missed by every system: they "
        "count and are not drawn. No interval: the run left no test items, or all groups have the same rate.",
    )
    return Table("runs", "Our runs", heads, tuple(blocks), notes)


def _lines(row: Row, intervals: Mapping[str, Interval]) -> list[tuple[Cell, ...]]:
    found: list[tuple[Cell, ...]] = []
    for path, result in row.runs:
        for key, metric in headlines(result).items():
            column, around = BY_KEY[key], intervals.get(key)
            shown = column.show(metric)
            found.append(
                (
                    text(row.name),
                    text(column.header),
                    Cell(shown, float(shown)),
                    text(
                        "" if around is None else f"{column.text(around.low)} to {column.text(around.high)}"
                    ),
                    text("" if around is None else around.how),
                    text(metric.split),
                    text("yes" if metric.official else "no"),
                    text(metric.selection),
                    text(result.recipe),
                    Cell(str(result.seed), result.seed),
                    Cell(str(result.steps), result.steps),
                    text(result.corpus.name),
                    text(deviations(result)),
                    text(path.as_posix()),
                )
            )
    return found
