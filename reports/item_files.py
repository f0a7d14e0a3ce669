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
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from downstream_runs.core.results import Metric, Result
from downstream_runs.core.run_folder import ITEMS, TRIALS, is_fold
from downstream_runs.scoring.names import ScoringError
from reports.columns import COLUMNS, in_percent
from reports.items import ScoredItems, Stratum
from reports.statistics import trials as statistics
from upstream_arm.common.errors import ReportError
from upstream_arm.common.reading import TABLE_BYTES, read_bytes

ITEM_COLUMNS: Mapping[str, type] = {
    **dict.fromkeys(("metric", "split", "item", "group"), object),
    **dict.fromkeys(("numerator", "denominator"), float),
}
TRIAL_COLUMNS: Mapping[str, type] = {
    **dict.fromkeys(("split", "item", "group"), object),
    **{"label": int, "score": float, "count": int},
}
BY_TRIALS = frozenset({"asv_eer", "qbe_mtwv"})
#: How far a recomputed number may be from the reported one, in percent points. For trials wider: scorers
#: interpolate and round scores differently.
TOLERANCE = 1e-6
TRIAL_TOLERANCE = 0.05


def items_of(runs: Iterable[tuple[Path, Result]]) -> tuple[dict[str, ScoredItems], list[str]]:
    """Column key -> the test items or trials beside the results of a system, and what is wrong with them.

    A metric without file is absent, which is no problem: many results have none.
    """
    usable: dict[str, ScoredItems] = {}
    problems: list[str] = []
    for path, result in runs:
        for column in (column for column in COLUMNS if column.task == result.task):
            metric = result.headline(column.metric)
            try:
                strata = () if metric is None else _strata(path.parent, column.key, result, metric)
                if metric is not None and strata:
                    scored = ScoredItems(column.key, result.task, strata)
                    _check_value(path, scored, metric)
                    usable[column.key] = scored
            except ReportError as error:
                problems.append(str(error))
    return usable, list(dict.fromkeys(problems))


def _strata(folder: Path, key: str, result: Result, metric: Metric) -> tuple[Stratum, ...]:
    """What a metric was computed from; nothing where a file of it is absent, or a fold's."""
    name, columns = (TRIALS, TRIAL_COLUMNS) if key in BY_TRIALS else (ITEMS, ITEM_COLUMNS)
    files = [folder / name]
    if key not in BY_TRIALS and not files[0].is_file():
        folds = sorted(entry.name for entry in folder.iterdir() if is_fold(entry.name))
        files = [folder / fold / name for fold in folds]
    if not files or not all(file.is_file() for file in files):
        return ()
    strata = []
    for file in files:
        rows = _rows(file, result, columns)
        # A fold's split may be called after the fold, so that only a file of its own is searched for it.
        wanted = rows["split"] == metric.split if len(files) == 1 else np.ones(len(rows["split"]), bool)
        if "metric" in rows:
            wanted &= rows["metric"] == metric.name
        strata.append({column: cells[wanted] for column, cells in rows.items()})
    return tuple(strata) if all(len(stratum["item"]) for stratum in strata) else ()


def recomputed(scored: ScoredItems) -> float:
    """The metric in percent, from its items or trials."""
    if scored.of_trials:
        return statistics.point(scored)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = [np.sum(one["numerator"]) / np.sum(one["denominator"]) for one in scored.strata]
    return 100 * float(np.mean(rates))


def _check_value(path: Path, scored: ScoredItems, metric: Metric) -> None:
    name, tolerance = (TRIALS, TRIAL_TOLERANCE) if scored.of_trials else (ITEMS, TOLERANCE)
    file, reported = path.parent / name, in_percent(metric)
    try:
        value = recomputed(scored)
    except ScoringError as error:
        raise ReportError(f"{file}: {error}") from None
    if not math.isclose(value, reported, rel_tol=1e-9, abs_tol=tolerance):
        raise ReportError(
            f"{file}: {metric.name} is {value:.4f} from it but {reported:.4f} in {path.name}: "
            "it gives no interval; run the task again with --rerun always"
        )


def _rows(path: Path, result: Result, columns: Mapping[str, type]) -> Stratum:
    """These columns of a CSV file of the run; the count of trials may be absent.

    Raises ReportError for a file that is not the run's own or not such a table.
    """
    try:
        content = read_bytes(path, TABLE_BYTES)
        expected = result.artefacts.get(path.name)
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            raise ReportError(
                f"{path} is not the file that the run wrote (its SHA-256 differs): it gives no interval; "
                "run the task again with --rerun always"
            )
        header, *rows = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        # A row with more or fewer cells than the others does not fit into this.
        cells = dict(zip(header, np.array(rows, object).reshape(len(rows), len(header)).T, strict=True))
        cells.setdefault("count", np.ones(len(rows), int))
        return {name: cells[name].astype(kind) for name, kind in columns.items()}
    except (OSError, csv.Error, ValueError, KeyError) as error:
        raise ReportError(
            f"{path} cannot be used ({error}), a CSV file of the run with the columns {', '.join(columns)} "
            "was expected"
        ) from None
