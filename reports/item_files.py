"""The test items and trials beside a result, from which its numbers are computed again and resampled.

`items.csv` (columns metric, split, item, group, numerator, denominator): a metric is the sum of its
numerators over that of its denominators. `trials.csv` (split, item, group, label, score, and `count` where
rows stand for several trials): EER and MTWV, which are no such quotient. A task with folds has its files in
`fold1/`, `fold2/`, ..., one stratum each, and is the mean of them. `group` is what is resampled as one: the
speaker where the corpus names one, for trials the enrolled speaker or the query, else the item itself.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from downstream_runs.core.results import Metric, Result
from downstream_runs.core.run_folder import ITEMS, TRIALS, is_fold
from downstream_runs.scoring.names import ScoringError
from reports.columns import COLUMNS, in_percent
from reports.items import Item, ScoredItems, Trial
from reports.statistics import trials as statistics
from reports.systems import System
from upstream_arm.common.errors import ReportError
from upstream_arm.common.reading import TABLE_BYTES, read_bytes

Columns: TypeAlias = Mapping[str, Callable[[str], Any]]
_ITEM_COLUMNS: Columns = {
    **dict.fromkeys(("metric", "split", "item", "group"), str),
    **dict.fromkeys(("numerator", "denominator"), float),
}
_TRIAL_COLUMNS: Columns = {
    **dict.fromkeys(("split", "item", "group"), str),
    "label": int,
    "score": float,
    "count": int,
}
BY_TRIALS = frozenset({"asv_eer", "qbe_mtwv"})
#: How far a recomputed number may be from the reported one, in percent points. For trials wider: scorers
#: interpolate and round scores differently.
TOLERANCE = 1e-6
TRIAL_TOLERANCE = 0.05


def items_of(system: System) -> tuple[dict[str, ScoredItems], list[str]]:
    """Column key -> the test items or trials beside a system's results, and what is wrong with them."""
    usable: dict[str, ScoredItems] = {}
    problems: list[str] = []
    for path, result in system.runs:
        some, wrong = read(path, result)
        usable.update(some)
        problems += wrong
    return usable, problems


def read(path: Path, result: Result) -> tuple[dict[str, ScoredItems], list[str]]:
    """Column key -> test items of the result at `path`, and one sentence for each that cannot be used.

    A metric without file is absent, which is no problem: many results have none.
    """
    usable, problems = {}, []
    for column in COLUMNS:
        metric = result.headline(column.metric) if column.task == result.task else None
        if metric is None:
            continue
        try:
            items = _of_metric(path.parent, column.key, result, metric)
            if items is not None:
                _check_value(path, items, metric)
                usable[column.key] = items
        except ReportError as error:
            problems.append(str(error))
    return usable, list(dict.fromkeys(problems))


def _of_metric(folder: Path, key: str, result: Result, metric: Metric) -> ScoredItems | None:
    if key in BY_TRIALS:
        if not (folder / TRIALS).is_file():
            return None
        rows = _rows(folder / TRIALS, result, _TRIAL_COLUMNS)
        trials = tuple(Trial(*trial) for split, *trial in rows if split == metric.split)
        return ScoredItems(key, result.task, trials=trials) if trials else None
    files = [folder / ITEMS]
    if not files[0].is_file():
        folds = [entry for entry in folder.iterdir() if is_fold(entry.name)]
        files = sorted(fold / ITEMS for fold in folds if (fold / ITEMS).is_file())
        if not files or len(files) < len(folds):
            return None
    # A fold's split may be called after the fold, so that only a file of its own is searched for the split.
    strata = [
        tuple(
            Item(*item)
            for name, split, *item in _rows(file, result, _ITEM_COLUMNS)
            if name == metric.name and (split == metric.split or len(files) > 1)
        )
        for file in files
    ]
    return ScoredItems(key, result.task, items=tuple(strata)) if all(strata) else None


def recomputed(scored: ScoredItems) -> float:
    """The metric in percent, from its items or trials."""
    if scored.trials:
        return statistics.point(scored)
    rates = [
        math.fsum(item.numerator for item in stratum) / math.fsum(item.denominator for item in stratum)
        for stratum in scored.items
    ]
    return 100 * math.fsum(rates) / len(rates)


def _check_value(path: Path, scored: ScoredItems, metric: Metric) -> None:
    name, tolerance = (TRIALS, TRIAL_TOLERANCE) if scored.trials else (ITEMS, TOLERANCE)
    file, reported = path.parent / name, in_percent(metric)
    try:
        value = recomputed(scored)
    except ZeroDivisionError:
        raise ReportError(f"{file}: the denominators of {metric.name} add up to 0") from None
    except ScoringError as error:
        raise ReportError(f"{file}: {error}") from None
    if not math.isclose(value, reported, rel_tol=1e-9, abs_tol=tolerance):
        raise ReportError(
            f"{file}: {metric.name} is {value:.4f} from it but {reported:.4f} in {path.name}: "
            "it gives no interval; run the task again with --rerun always"
        )


def _rows(path: Path, result: Result, columns: Columns) -> list[tuple[Any, ...]]:
    """The rows of a CSV file of the run, these columns in this order, each cell converted.

    The count of trials may be absent. Raises ReportError for a file that is not the run's own or not such a
    table.
    """
    try:
        content = read_bytes(path, TABLE_BYTES)
        expected = result.artefacts.get(path.name)
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            raise ReportError(
                f"{path} is not the file that the run wrote (its SHA-256 differs): it gives no interval; "
                "run the task again with --rerun always"
            )
        rows = list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))
        header = rows.pop(0) if rows else []
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ReportError(f"{path} cannot be read ({error}), a CSV file of the run was expected") from None
    absent = [name for name in columns if name not in header and name != "count"]
    if absent:
        raise ReportError(f"{path} lacks the columns {', '.join(absent)}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ReportError(f"{path}, row {number} has {len(row)} cells, {len(header)} were expected")
    by_column = list(zip(*rows, strict=True)) or [()] * len(header)
    used = [(header.index(name), kind) for name, kind in columns.items() if name in header]
    try:
        return list(zip(*(map(kind, by_column[place]) for place, kind in used), strict=True))
    except ValueError as error:
        raise ReportError(f"{path} holds no number where one was expected ({error})") from None
