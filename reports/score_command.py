"""`python -m reports score`: overall, superb_s and superb_r of any rows, as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from reports import published, scores
from reports.columns import BY_KEY, COLUMNS, QBE_X100
from reports.table import harmless
from upstream_arm.common.errors import ReportError, reason
from upstream_arm.common.files import csv_text
from upstream_arm.common.words import near

METRICS = (*BY_KEY, QBE_X100)
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
    return csv_text([map(harmless, row) for row in scored]), notes


def read(path: Path) -> tuple[list[tuple[dict[str, str], dict[str, float]]], list[str]]:
    """The rows of a file with their metrics in percent; an empty cell or absent column is a missing metric.

    QbE is either `qbe_mtwv_x100` or `qbe_mtwv`, a fraction. Raises ReportError that names file and line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", strict=True)
            header = list(reader.fieldnames or ())
            rows = [(f"{path}, line {reader.line_num}", row) for row in reader]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ReportError(
            f"{path} cannot be read ({reason(error)}), a CSV file in UTF-8 was expected"
        ) from None
    once = len(set(header)) == len(header) and not {"qbe_mtwv", QBE_X100} <= set(header)
    if "model" not in header or not set(METRICS) & set(header) or not once:
        raise ReportError(
            f"{path} has the columns {', '.join(header) or '(none)'}; 'model' and some of "
            f"{', '.join(METRICS)} were expected, each once, and QbE's MTWV in one form"
        )
    if not rows:
        raise ReportError(f"{path} has no rows below its header, one model a line was expected")
    usable = [(row, _values(where, row)) for where, row in rows]
    notes = [
        f"{path}: the column {name!r} is no metric and was passed over{near(name, METRICS)}"
        for name in header
        if name not in (*METRICS, *OTHERS)
    ]
    return usable, notes + _small(path, usable)


def _values(where: str, row: dict[str, str]) -> dict[str, float]:
    """The metrics of a row in percent; `where` it stands is for the messages."""
    if "" in row or None in row.values() or not row["model"].strip():
        raise ReportError(
            f"{where}: a model's name and as many cells as the header has columns were expected"
        )
    values = {}
    for column in COLUMNS:
        name, factor = column.source(row)
        text = (row.get(name) or "").strip()
        if not text:
            continue
        try:
            percent = factor * float(text)
        except ValueError:
            percent = math.nan
        # Insertions push an error rate above 100; nothing that is better when higher can be above it.
        low, high = (0, math.inf) if column.better == "lower" else (-math.inf, 100)
        if not math.isfinite(percent) or not low <= percent <= high:
            bounds = "at least 0" if column.better == "lower" else "at most 100"
            raise ReportError(
                f"{where}, {name} is {text!r}, a number (in percent {bounds}) or an empty cell was expected"
            )
        values[column.key] = percent
    _check_percent(where, values)
    return values


def _is_small(key: str, percent: float) -> bool:
    """Whether a value is so small that it may be a fraction in a column of percents."""
    return BY_KEY[key].unit == "percent" and 0 < percent <= 1


def _check_percent(where: str, values: Mapping[str, float]) -> None:
    """ReportError for fractions in columns of percents: a whole row of them, or accuracies below chance."""
    small = [key for key, value in values.items() if _is_small(key, value)]
    whole = len(small) == sum(BY_KEY[key].unit == "percent" for key in values)
    wrong = small if whole else [key for key in small if key in NEVER_BELOW_ONE]
    if wrong:
        raise ReportError(
            f"{where}: {', '.join(f'{key} {values[key]:g}' for key in wrong)} look like fractions; percents "
            f"were expected, here {100 * values[wrong[0]]:g}: multiply by 100"
        )


def _small(path: Path, rows: Sequence[tuple[dict[str, str], dict[str, float]]]) -> list[str]:
    """A note for each column in which a value is so small that it may be a fraction."""
    first: dict[str, str] = {}
    for row, values in rows:
        for key in (key for key, value in values.items() if _is_small(key, value)):
            first.setdefault(key, f"{key} of {row['model']} is {row[key].strip()}")
    return [
        f"{path}: {first[key]} and was read as percent; a fraction has to be multiplied by 100"
        for key in BY_KEY
        if key in first
    ]
