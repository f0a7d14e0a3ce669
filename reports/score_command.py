"""`python -m reports score`: overall, superb_s and superb_r of any rows, as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from reports import published, scores
from reports.columns import BY_KEY, COLUMNS, Column
from upstream_arm.common.errors import ReportError
from upstream_arm.common.files import csv_text
from upstream_arm.common.words import near

#: Columns of a rows file that are no metric.
OTHERS = ("model", "distilled_on", "params_m", "macs_g", "source")
#: Accuracies in percent that chance alone exceeds by far (12, 31 and 4 classes).
NEVER_BELOW_ONE = frozenset({"ks_acc", "ic_acc", "er_acc"})
HEADER = ("model", "distilled_on", "overall", "superb_s", "superb_r", "board", "missing")


def score(path: Path) -> tuple[str, list[str]]:
    """The CSV to print for the rows file at `path`, and sentences about columns that were passed over.

    Raises ReportError for a file without usable rows.
    """
    rows, notes = read(path)
    board, reference = published.leaderboard(), published.reference_points()
    scored: list[tuple[str, ...]] = [HEADER]
    for row, values in rows:
        three = (scores.overall(values), scores.superb_s(values, reference), scores.superb_r(values, board))
        numbers = ["" if value is None else f"{value:.4f}" for value in three]
        absent = " ".join(scores.missing(values))
        scored.append((row["model"], row.get("distilled_on") or "", *numbers, board.name, absent))
    return csv_text(scored), notes


def read(path: Path) -> tuple[list[tuple[dict[str, str], dict[str, float]]], list[str]]:
    """The rows of a file with their metrics in percent; an empty cell or absent column is a missing metric.

    QbE is either `qbe_mtwv_x100` or `qbe_mtwv`, a fraction. Raises ReportError that names file and line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", strict=True)
            header = list(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise ReportError(f"{path} cannot be read ({error.strerror}), a CSV file was expected") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise ReportError(f"{path} is no CSV in UTF-8 ({error}), rows of models were expected") from None
    notes = _check_header(path, header)
    if not rows:
        raise ReportError(f"{path} has no rows below its header, one model a line was expected")
    usable = [_row(path, line, row) for line, row in rows]
    return usable, [*notes, *_small(path, usable)]


def _check_header(path: Path, header: list[str]) -> list[str]:
    metrics = [*BY_KEY, published.QBE_X100]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ReportError(f"{path} has the column {twice[0]!r} twice, each column once was expected")
    if "model" not in header or not set(metrics) & set(header):
        raise ReportError(
            f"{path} has the columns {', '.join(header) or '(none)'}; 'model' and some of "
            f"{', '.join(metrics)} were expected"
        )
    if {"qbe_mtwv", published.QBE_X100} <= set(header):
        raise ReportError(f"{path} has both qbe_mtwv and {published.QBE_X100}, one of them was expected")
    return [
        f"note: {path}: the column {name!r} is no metric and was passed over{near(name, metrics)}"
        for name in header
        if name not in metrics and name not in OTHERS
    ]


def _row(path: Path, line: int, row: dict[str, str]) -> tuple[dict[str, str], dict[str, float]]:
    if "" in row or None in row.values():
        raise ReportError(f"{path}, line {line}: more or fewer cells than the header has columns")
    if not row["model"].strip():
        raise ReportError(f"{path}, line {line}: the model has no name")
    values = {}
    for column in COLUMNS:
        name, factor = column.key, 1.0 if column.unit == "percent" else 100.0
        if column.key == "qbe_mtwv" and published.QBE_X100 in row:
            name, factor = published.QBE_X100, 1.0
        text = (row.get(name) or "").strip()
        if text:
            values[column.key] = _percent(f"{path}, line {line}, {name}", text, factor, column)
    _check_percent(f"{path}, line {line}", row, values)
    return row, values


def _percent(where: str, text: str, factor: float, column: Column) -> float:
    try:
        percent = factor * float(text)
    except ValueError:
        percent = math.nan
    if not math.isfinite(percent):
        raise ReportError(f"{where} is {text!r}, a number or an empty cell was expected")
    # Insertions push an error rate above 100; nothing that is better when higher can be above it.
    lower = column.better == "lower"
    if percent < 0 if lower else percent > 100:
        bounds = "at least 0" if lower else "at most 100"
        raise ReportError(f"{where} is {text!r}, that is {percent:g} percent, {bounds} was expected")
    return percent


def _check_percent(where: str, row: dict[str, str], values: Mapping[str, float]) -> None:
    """ReportError for fractions in columns of percents: a whole row of them, or accuracies below chance."""
    rates = {key: value for key, value in values.items() if BY_KEY[key].unit == "percent"}
    small = [key for key, value in rates.items() if 0 < value <= 1]
    wrong = small if small and len(small) == len(rates) else [key for key in small if key in NEVER_BELOW_ONE]
    if wrong:
        key = wrong[0]
        also = f" (and so are {', '.join(wrong[1:])})" if wrong[1:] else ""
        raise ReportError(
            f"{where}, {key} is {row[key].strip()}, which is a fraction{also}; percents were expected, here "
            f"{100 * values[key]:g}: multiply by 100"
        )


def _small(path: Path, rows: Sequence[tuple[dict[str, str], dict[str, float]]]) -> list[str]:
    """A note for each column in which a value is so small that it may be a fraction."""
    first: dict[str, dict[str, str]] = {}
    for row, values in rows:
        for key, value in values.items():
            if BY_KEY[key].unit == "percent" and 0 < value <= 1:
                first.setdefault(key, row)
    return [
        f"note: {path}: {key} of {first[key]['model']} is {first[key][key].strip()} and was read as "
        "percent; a fraction has to be multiplied by 100"
        for key in BY_KEY
        if key in first
    ]
