"""Our rows in a table: apart from the published ones, with labels and notes on how they came about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from downstream_runs.core.results import Metric
from reports import scores
from reports.columns import COLUMNS, Column
from reports.rows import Row, headlines, weights
from reports.table import UNOFFICIAL, warning
from reports.tables.model import Block, Cell, grouped_notes, listed, number

#: Behind an official number that stands beside one selected on dev.
DEV = "‡"
#: The metric of steps without a gradient.
SKIPPED = "skipped_steps"
TITLE = "Ours"
LABELLED = "Ours, not comparable to published rows"


def values(row: Row, columns: Sequence[Column]) -> list[Cell]:
    """The row's cells of these columns, with marks for what is not the protocol's number."""
    metrics = {key: metric for _, result in row.runs for key, metric in headlines(result).items()}
    dev = {
        key
        for _, result in row.runs
        for key, metric in headlines(result).items()
        if dev_selected(result.metrics, metric)
    }
    cells = []
    for column in columns:
        metric = metrics.get(column.key)
        if metric is None:
            cells.append(number(None, column.digits))
            continue
        marks = ("" if metric.official else UNOFFICIAL) + (DEV if column.key in dev else "")
        shown = column.show(metric)
        cells.append(Cell(shown, float(shown), marks, competes=metric.official))
    return cells


def dev_selected(metrics: Iterable[Metric], official: Metric) -> Metric | None:
    """The number of the same split whose checkpoint or settings were chosen on dev instead of on test."""
    return next(
        (
            metric
            for metric in metrics
            if metric.name == official.name
            and metric.split == official.split
            # Where dev was read from the test set, the same choice stands there for both.
            and metric.selection != official.selection
            and metric.role == "information"
            and not metric.official
        ),
        None,
    )


def blocks(rows: Sequence[Row], line: Callable[[Row], tuple[Cell, ...]]) -> list[Block]:
    """Ours without labels, then ours with them under their warning; `line` makes a row's cells."""
    return line_blocks(rows, lambda row: [line(row)], ranked=True)


def line_blocks(
    rows: Sequence[Row], lines: Callable[[Row], Sequence[tuple[Cell, ...]]], ranked: bool = False
) -> list[Block]:
    """As `blocks`, with any number of lines for a row; a block without lines is left out."""
    plain = tuple(line for row in rows if not row.labels for line in lines(row))
    labelled = [(row, some) for row in rows if row.labels if (some := lines(row))]
    found: list[Block] = []
    if plain:
        found.append(Block(TITLE, plain, ranked=ranked))
    if labelled:
        said = warning([row for row, _ in labelled])
        # Never ranked: such a number beats nothing.
        found.append(
            Block(LABELLED, tuple(line for _, some in labelled for line in some), warning=said or "")
        )
    return found


def notes(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """What a reader must know of these rows: marks, missing tasks, repeated runs, deviations."""
    tasks = {column.task for column in columns}
    marks = {mark for row in rows for cell in values(row, columns) for mark in cell.marks}
    found = []
    if UNOFFICIAL in marks:
        found.append(f"{UNOFFICIAL} split, selection or scorer is not that of SUPERB's protocol.")
    if DEV in marks:
        found.append(
            f"{DEV} the protocol's number, chosen on the test set; the number chosen on dev is in the table "
            f"of "
            "official and dev-selected numbers."
        )
    if len(columns) == len(COLUMNS):
        found += _incomplete(rows)
    found += _weights(rows)
    found += _skipped(rows, tasks)
    said = _deviations(rows, tasks)
    if said:
        found.append("Deviations from the protocol, from the result files:")
        found += grouped_notes(said)
    elif rows:
        found.append("Deviations from the protocol, from the result files: none.")
    return found


def _weights(rows: Sequence[Row]) -> list[str]:
    """Which weights a row has whose upstream's name does not say it."""
    return [
        f"{row.name}: weights of {result.upstream_checkpoint or result.upstream_switches['ckpt_url']}, "
        f"SHA-256 {result.upstream_checkpoint_sha256 or 'not known'}."
        for row in rows
        for _, result in row.runs[:1]
        if weights(result)
    ]


def _skipped(rows: Sequence[Row], tasks: set[str]) -> list[str]:
    """Steps that the training left out, which is no deviation: s3prl leaves out the same."""
    return [
        f"{row.name} ({result.task}): {metric.counts['skipped']} of {metric.counts['steps']} steps had no "
        "gradient that is a number and were skipped, as s3prl does."
        for row in rows
        for _, result in row.runs
        for metric in result.metrics
        if metric.name == SKIPPED and result.task in tasks
    ]


def _deviations(rows: Sequence[Row], tasks: set[str]) -> dict[str, list[str]]:
    """Sentence -> the rows with the tasks that it is about."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for _, result in row.runs:
            if result.task in tasks:
                for sentence in result.deviations:
                    plain = " ".join(sentence.split()).rstrip(".")
                    found.setdefault(plain, {}).setdefault(row.name, []).append(result.task)
    return {
        sentence: [f"{name} ({', '.join(about)})" for name, about in names.items()]
        for sentence, names in found.items()
    }


def _incomplete(rows: Sequence[Row]) -> list[str]:
    said: dict[str, list[str]] = {}
    for row in rows:
        absent = scores.missing(row.percent())
        if absent:
            are = "are" if len(absent) > 1 else "is"
            sentence = f"no overall score, because {', '.join(absent)} {are} missing"
            said.setdefault(sentence, []).append(row.name)
    return grouped_notes(said)


def conflicts(rows: Sequence[Row]) -> list[str]:
    """Runs made in the same way that ended in different numbers."""
    seen: dict[tuple[str, ...], list[tuple[Row, str]]] = {}
    for row in rows:
        base = row.name.split(", made ")[0]
        if base == row.name:
            continue
        for _, result in row.runs:
            for key, metric in headlines(result).items():
                seen.setdefault((base, key), []).append((row, f"{metric.value:.4f}"))
    return [
        f"Conflict: {base} has several runs with different {key}: {listed(value for _, value in found)}."
        for (base, key), found in seen.items()
        if len({value for _, value in found}) > 1
    ]
