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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from downstream_runs.core.results import Result
from downstream_runs.core.run_folder import ITEMS, TRIALS
from reports.columns import COLUMNS, in_percent
from reports.store import is_fold
from upstream_arm.common.errors import ReportError
from upstream_arm.common.reading import TABLE_BYTES, read_bytes

#: What a group is called, by task; a task that is not here has speakers.
GROUPS = {"asv": "enrolled speaker", "qbe": "query"}
#: What a single item is called, by task; for every other an utterance.
ITEM_NAMES = {"sd": "recording", "asv": "trial", "qbe": "trial"}
BY_TRIALS = frozenset({"asv_eer", "qbe_mtwv"})
#: How far a recomputed number may be from the reported one, in percent points. For trials wider: scorers
#: interpolate and round scores differently.
TOLERANCE = 1e-6
TRIAL_TOLERANCE = 0.05


class Item(NamedTuple):  # of which there are ten thousands: three times as quick to make as a dataclass
    """A test item's share of a metric."""

    name: str
    group: str
    numerator: float
    denominator: float


class Trial(NamedTuple):
    """A scored pair; label 1 for a target. number: of trials of this group, label and score that it is."""

    name: str
    group: str
    label: int
    score: float
    number: int = 1


@dataclass(frozen=True)
class Evidence:
    """What a metric of a run was computed from.

    key: the column.
    task: its task.
    items: one tuple for each stratum (one without folds); empty for a metric of trials.
    trials: the trials, for EER and MTWV only.
    """

    key: str
    task: str
    items: tuple[tuple[Item, ...], ...] = ()
    trials: tuple[Trial, ...] = ()

    @property
    def unit(self) -> str:
        """What is resampled: "speaker", "query", or "utterance" where no group has two items."""
        groups = [item.group for stratum in self.items for item in stratum]
        groups += [trial.group for trial in self.trials]
        if len(set(groups)) == len(groups):
            return ITEM_NAMES.get(self.task, "utterance")
        return GROUPS.get(self.task, "speaker")


def read(path: Path, result: Result) -> tuple[dict[str, Evidence], list[str]]:
    """Column key -> evidence of the result at `path`, and one sentence for each that cannot be used.

    A metric without file is absent and not said: many results have none.
    """
    found, problems = {}, []
    for column in COLUMNS:
        metric = result.headline(column.metric) if column.task == result.task else None
        if metric is None:
            continue
        try:
            evidence = _evidence(path.parent, column.key, result, metric.name, metric.split)
            if evidence is not None:
                _check_value(path, evidence, metric.name, in_percent(metric))
                found[column.key] = evidence
        except ReportError as error:
            problems.append(str(error))
    return found, list(dict.fromkeys(problems))


def _evidence(folder: Path, key: str, result: Result, metric: str, split: str) -> Evidence | None:
    if key in BY_TRIALS:
        path = folder / TRIALS
        if not path.is_file():
            return None
        rows = _read_trials(path, result)
        trials = tuple(trial for part, trial in rows if part == split)
        return Evidence(key, result.task, trials=trials) if trials else None
    files = [folder / ITEMS]
    if not files[0].is_file():
        folds = [entry for entry in folder.iterdir() if is_fold(entry.name)]
        files = sorted(fold / ITEMS for fold in folds if (fold / ITEMS).is_file())
        if not files or len(files) < len(folds):
            return None
    # A fold's split may be called after the fold, so that only a file of its own is searched for the split.
    strata = [
        tuple(
            item
            for name, part, item in _read_items(file, result)
            if name == metric and (part == split or len(files) > 1)
        )
        for file in files
    ]
    return Evidence(key, result.task, items=tuple(strata)) if all(strata) else None


def recomputed(evidence: Evidence) -> float:
    """The metric in percent, from its items or trials."""
    if evidence.trials:
        from reports.statistics import trials

        return trials.point(evidence)
    rates = [
        math.fsum(item.numerator for item in stratum) / math.fsum(item.denominator for item in stratum)
        for stratum in evidence.items
    ]
    return 100 * math.fsum(rates) / len(rates)


def _check_value(path: Path, evidence: Evidence, metric: str, percent: float) -> None:
    name, tolerance = (TRIALS, TRIAL_TOLERANCE) if evidence.trials else (ITEMS, TOLERANCE)
    try:
        value = recomputed(evidence)
    except ZeroDivisionError:
        raise ReportError(f"{path.parent / name}: the denominators of {metric} add up to 0") from None
    if not math.isclose(value, percent, rel_tol=1e-9, abs_tol=tolerance):
        raise ReportError(
            f"{path.parent / name}: {metric} is {value:.4f} from it but {percent:.4f} in {path.name}: "
            "it gives no interval; run the task again with --rerun always"
        )


def _check_hash(path: Path, content: bytes, result: Result) -> None:
    expected = result.artefacts.get(path.name)
    if expected is not None and hashlib.sha256(content).hexdigest() != expected:
        raise ReportError(
            f"{path} is not the file that the run wrote (its SHA-256 differs): it gives no interval; "
            "run the task again with --rerun always"
        )


def _read_items(path: Path, result: Result) -> list[tuple[str, str, Item]]:
    rows = _read(path, result, ("metric", "split", "item", "group", "numerator", "denominator"))
    try:
        return [(row[0], row[1], Item(row[2], row[3], float(row[4]), float(row[5]))) for row in rows]
    except ValueError as error:
        raise ReportError(f"{path} holds no number where one was expected ({error})") from None


def _read_trials(path: Path, result: Result) -> list[tuple[str, Trial]]:
    rows = _read(path, result, ("split", "item", "group", "label", "score"), "count")
    try:
        return [
            (row[0], Trial(row[1], row[2], int(row[3]), float(row[4]), *map(int, row[5:]))) for row in rows
        ]
    except ValueError as error:
        raise ReportError(f"{path} holds no number where one was expected ({error})") from None


def _read(path: Path, result: Result, columns: tuple[str, ...], optional: str = "") -> list[list[str]]:
    """The cells of these columns in this order, then those of `optional` if the file has such a column."""
    try:
        content = read_bytes(path, TABLE_BYTES)
        _check_hash(path, content, result)
        reader = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        header = next(reader, [])
        columns = (*columns, optional) if optional in header else columns
        order = _order(path, header, columns)
        rows = list(reader)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ReportError(f"{path} cannot be read ({error}), a CSV file of the run was expected") from None
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ReportError(f"{path}, row {number} has {len(row)} cells, {len(header)} were expected")
    return rows if order == list(range(len(columns))) else [[row[index] for index in order] for row in rows]


def _order(path: Path, header: list[str], columns: tuple[str, ...]) -> list[int]:
    absent = [name for name in columns if name not in header]
    if absent:
        raise ReportError(f"{path} lacks the columns {', '.join(absent)}")
    return [header.index(name) for name in columns]


def same_items(ours: Evidence, theirs: Evidence) -> bool:
    """Were both computed from the same test items, in the same groups and of the same labels?"""
    return _signature(ours) == _signature(theirs)


def _signature(evidence: Evidence) -> tuple[Mapping[object, object], ...]:
    strata: list[Mapping[object, object]] = [
        {item.name: item.group for item in stratum} for stratum in evidence.items
    ]
    return (*strata, {trial.name: (trial.group, trial.label, trial.number) for trial in evidence.trials})
