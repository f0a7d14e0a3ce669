"""The paper's Table 1 with our results below it, as Markdown or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from downstream_runs.core.program import PROGRAM
from downstream_runs.core.results import LABELS, PARTIAL_TEXT, Metric, Result
from reports.columns import COLUMNS, Column
from reports.rows import Row, headlines, published_rows

MAKE_ONE = f"{PROGRAM} armhubert asr --demo"
MISSING = "–"
UNOFFICIAL = "†"


def warning(ours: Sequence[Row]) -> str | None:
    """The sentence above our rows where one of them cannot be compared with published rows, else None."""
    labels = sorted({label for row in ours for label in row.labels}, key=_label_order)
    if not labels:
        return None
    reasons = "; ".join(f"{label}: {LABELS.get(label, 'labelled so by its run')}" for label in labels)
    said = f"Warning: rows labelled {', '.join(labels)} are not comparable to the published rows ({reasons})."
    return said + partial_counts(ours)


def partial_counts(ours: Sequence[Row]) -> str:
    """A sentence, with a blank before it, of how much of their corpora partial rows had; else nothing."""
    found: dict[str, list[str]] = {}
    for row in ours:
        for _, result in row.runs:
            if result.shortfall:
                found.setdefault(result.shortfall.removeprefix(PARTIAL_TEXT), []).append(result.task)
    said = "; ".join(f"{', '.join(dict.fromkeys(tasks))}: {counts}" for counts, tasks in found.items())
    return f" Partial corpora: {said}." if said else ""


def _label_order(label: str) -> tuple[bool, int, str]:
    known = list(LABELS)
    return (label not in known, known.index(label) if label in known else 0, label)


def markdown(columns: Sequence[Column], ours: Sequence[Row], empty: str) -> str:
    """Two Markdown tables, published and ours, and notes on ours; `empty` where there are none of ours."""
    published = _markdown_table(columns, published_rows())
    parts = ["## Published: arXiv 2305.11685 Table 1", published, "## Ours"]
    if not ours:
        return "\n\n".join([*parts, empty]) + "\n"
    said = warning(ours)
    if said:
        parts.append(f"> {_plain(said)}")
    parts += [_markdown_table(columns, ours), "Percent; QbE as a fraction."]
    if any(UNOFFICIAL in text for row in ours for text in _cells(row, columns)):
        parts.append(f"{UNOFFICIAL} split, selection or scorer is not that of SUPERB's protocol.")
    notes = [f"- {_plain(note)}" for row in ours for note in _notes(row, columns)]
    parts += ["### Notes on ours", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    whole = len(columns) == len(COLUMNS)
    numbers = ["Params (M)", *(["Overall ↑"] if whole else []), *(column.header for column in columns)]
    lines = [["Model", *numbers, "Source"], [":--", *["--:"] * len(numbers), ":--"]]
    for row in rows:
        overall = [row.overall or MISSING] if whole else []
        lines.append([row.name, row.params_m or MISSING, *overall, *_cells(row, columns), row.source])
    return "\n".join(f"| {' | '.join(_plain(cell) for cell in line)} |" for line in lines)


def _cells(row: Row, columns: Sequence[Column]) -> list[str]:
    unofficial = {
        key for _, result in row.runs for key, metric in headlines(result).items() if not metric.official
    }
    cells = []
    for column in columns:
        mark = f" {UNOFFICIAL}" if column.key in unofficial else ""
        cells.append(row.cells[column.key] + mark if column.key in row.cells else MISSING)
    return cells


def _plain(text: str) -> str:
    """Text in one line that cannot end a table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _notes(row: Row, columns: Sequence[Column]) -> list[str]:
    tasks = {column.task for column in columns}
    return [
        f"{row.name}, {result.task}: recipe {result.recipe}, seed {result.seed}, {result.steps} steps, "
        f"{result.corpus.name}, {result.device}. {selections(result)} Deviations: {deviations(result)}. "
        f"From {path}"
        for path, result in row.runs
        if result.task in tasks
    ]


def selections(result: Result) -> str:
    """Which checkpoint each number is from; first the headlines, then the others with their values."""
    ordered = sorted(result.metrics, key=lambda metric: metric.role != "headline")
    return " ".join(_selection(metric) for metric in ordered)


def _selection(metric: Metric) -> str:
    standing = "the task's official metric" if metric.official else "not an official metric"
    value = "" if metric.role == "headline" else f" {metric.value:.4f} ({metric.unit}, for information)"
    return f"{metric.name}{value} on {metric.split}, checkpoint: {metric.selection} ({standing})."


def deviations(result: Result) -> str:
    """The departures from the protocol that the run declared, or "none"."""
    return "; ".join(text.strip().rstrip(".") for text in result.deviations) or "none"


def as_csv(columns: Sequence[Column], ours: Sequence[Row]) -> str:
    """The same rows as CSV, with the notes as columns. Missing values are empty.

    comparable: `no` with labels, `see deviations` with only deviations, else `yes`.
    """
    text = io.StringIO()
    keys = [column.key for column in columns]
    tail = ["source", "labels", "comparable", "official", "selection", "deviations"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "params_m", *keys, *tail])
    for row in [*published_rows(), *ours]:
        cells = [row.cells.get(key, "") for key in keys]
        writer.writerow([row.name, row.params_m, *cells, row.source, *_csv_tail(row, columns)])
    return text.getvalue()


def _csv_tail(row: Row, columns: Sequence[Column]) -> list[str]:
    if not row.runs:
        return ["", "yes", "", "", ""]
    keys = {column.key for column in columns}
    runs = [result for _, result in row.runs if result.task in {column.task for column in columns}]
    shown = [metric for result in runs for key, metric in headlines(result).items() if key in keys]
    return [
        " ".join(row.labels),
        "no" if row.labels else "see deviations" if any(result.deviations for result in runs) else "yes",
        "yes" if shown and all(metric.official for metric in shown) else "no",
        " ".join(f"{result.task}: {selections(result)}" for result in runs),
        " ".join(f"{result.task}: {deviations(result)}." for result in runs),
    ]
