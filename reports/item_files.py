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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream_runs.core.results import Metric, Result
from downstream_runs.core.run_folder import ITEMS, TRIALS, is_fold
from downstream_runs.scoring.names import ScoringError
from reports.columns import COLUMNS, in_percent
from reports.items import ScoredItems, Stratum
from reports.statistics import trials as statistics
from upstream_arm.common.errors import ReportError
from upstream_arm.common.reading import TABLE_BYTES, read_bytes

ITEM_COLUMNS = ("metric", "split", "item", "group", "numerator", "denominator")
TRIAL_COLUMNS = ("split", "item", "group", "label", "score", "count")
#: What is no text.
NUMBERS: Mapping[str, type] = {
    **dict.fromkeys(("numerator", "denominator", "score"), float),
    **dict.fromkeys(("label", "count"), int),
}
BY_TRIALS = frozenset({"asv_eer", "qbe_mtwv"})
#: Characters that are read at once.
PART = 1 << 19
#: How far a recomputed number may be from the reported one, in percent points. For trials wider: scorers
#: interpolate and round scores differently.
TOLERANCE = 1e-6
TRIAL_TOLERANCE = 0.05


def items_of(
    runs: Iterable[tuple[Path, Result]], named: bool = True
) -> tuple[dict[str, ScoredItems], list[str]]:
    """Column key -> the test items or trials beside the results of a system, and what is wrong with them.

    A metric without file is absent, which is no problem: many results have none. named: with the names of
    the single items, which only pairing needs and which are most of the memory.
    """
    usable: dict[str, ScoredItems] = {}
    problems: list[str] = []
    for path, result in runs:
        for column in (column for column in COLUMNS if column.task == result.task):
            metric = result.headline(column.metric)
            try:
                strata = () if metric is None else _strata(path.parent, column.key, result, metric, named)
                if metric is not None and strata:
                    scored = ScoredItems(column.key, result.task, strata)
                    _check_value(path, scored, metric)
                    usable[column.key] = scored
            except ReportError as error:
                problems.append(str(error))
    return usable, list(dict.fromkeys(problems))


def of_metric(path: Path, result: Result, metric: Metric, key: str) -> ScoredItems | None:
    """The items or trials of a metric that has no column, as those of the column `key`; None without any.

    ReportError for damaged ones.
    """
    strata = _strata(path.parent, key, result, metric, named=False)
    if not strata:
        return None
    scored = ScoredItems(key, result.task, strata)
    _check_value(path, scored, metric)
    return scored


def _strata(folder: Path, key: str, result: Result, metric: Metric, named: bool) -> tuple[Stratum, ...]:
    """What a metric was computed from; nothing where a file of it is absent, or a fold's."""
    name, columns = (TRIALS, TRIAL_COLUMNS) if key in BY_TRIALS else (ITEMS, ITEM_COLUMNS)
    files = [folder / name]
    if key not in BY_TRIALS and not files[0].is_file():
        folds = sorted(entry.name for entry in folder.iterdir() if is_fold(entry.name))
        files = [folder / fold / name for fold in folds]
    if not files or not all(file.is_file() for file in files):
        return ()
    needed = [name for name in columns if named or name != "item"]
    # A fold's split may be called after the fold, so that only a file of its own is searched for it.
    wanted = {"metric": metric.name, **({"split": metric.split} if len(files) == 1 else {})}
    strata = tuple(_stratum(file, result, needed, wanted) for file in files)
    return strata if all(len(stratum["group"]) for stratum in strata) else ()


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


def _stratum(file: Path, result: Result, columns: Sequence[str], wanted: Mapping[str, str]) -> Stratum:
    """The rows of a file that have the wanted cells, where it has such columns.

    Raises ReportError for a file that is not the run's own or not such a table.
    """
    try:
        content = read_bytes(file, TABLE_BYTES)
        expected = result.artefacts.get(file.name)
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            raise ReportError(
                f"{file} is not the file that the run wrote (its SHA-256 differs): it gives no interval; "
                "run the task again with --rerun always"
            )
        table = _table(content, columns)
        rows = np.ones(len(table["split"].places), bool)
        for name in wanted.keys() & table.keys():
            rows &= np.array([text == wanted[name] for text in table[name].texts])[table[name].places]
        return _columns(table, rows)
    except (OSError, csv.Error, ValueError, KeyError) as error:
        raise ReportError(
            f"{file} cannot be used ({error}), a CSV file of the run with the columns {', '.join(columns)} "
            "was expected"
        ) from None


class _Cells(NamedTuple):
    """A column: its texts, each once, and the place of each cell's. QbE's 336,444 trials have few texts."""

    texts: dict[str, int]
    places: NDArray[np.int32]


class _Places(dict[str, int]):
    """Text -> its place in the order of the first look."""

    def __missing__(self, text: str) -> int:
        place = self[text] = len(self)
        return place


def _table(content: bytes, columns: Sequence[str]) -> dict[str, _Cells]:
    """These columns of a CSV file; the count of trials may be absent."""
    texts = {name: _Places() for name in columns}
    parts: dict[str, list[NDArray[np.int32]]] = {name: [np.zeros(0, np.int32)] for name in columns}
    for cells in _parts(content):
        rows = len(cells["split"])
        cells.setdefault("count", ("1",) * rows)
        for name in columns:
            places = map(texts[name].__getitem__, cells[name])
            parts[name].append(np.fromiter(places, np.int32, rows))
    return {name: _Cells(texts[name], np.concatenate(parts[name])) for name in columns}


def _parts(content: bytes) -> Iterator[dict[str, Sequence[str]]]:
    """Column -> cells, of some rows at a time: the cells of a whole file of trials are 200 MB."""
    file = io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="" if b'"' in content else None)
    if b'"' in content:
        header, *rows = csv.reader(file, strict=True)
        yield dict(zip(header, zip(*rows, strict=True), strict=True))
        return
    header = file.readline().rstrip("\n").split(",")
    while text := file.read(PART) + file.readline():
        text = text.removesuffix("\n")
        cells = text.replace("\n", ",").split(",")
        # Where one row has a cell too few and another one too many, the numbers are none.
        if len(cells) != len(header) * (1 + text.count("\n")):
            raise ValueError("its rows have different numbers of cells")
        yield {name: cells[place :: len(header)] for place, name in enumerate(header)}


def _columns(table: Mapping[str, _Cells], rows: NDArray[np.bool_]) -> Stratum:
    """These rows of a table as a stratum."""
    stratum: dict[str, Any] = {}
    for name in table.keys() - {"metric", "split"}:
        texts, places = np.array(list(table[name].texts), object), table[name].places[rows]
        if name == "group":
            used = np.flatnonzero(np.bincount(places, minlength=len(texts)))
            stratum["names"], order = np.unique(texts[used], return_inverse=True)
            place = np.zeros(len(texts), np.int64)
            place[used] = order
            stratum["group"] = place[places]
        else:
            stratum[name] = texts.astype(NUMBERS.get(name, object))[places]
    return stratum
