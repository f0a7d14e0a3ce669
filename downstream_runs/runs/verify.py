"""`verify`: does a result follow from the files beside it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas

from downstream_runs import tasks
from downstream_runs.core import official, results
from downstream_runs.core.results import Metric, Result
from downstream_runs.core.run_folder import BENCHMARK, ITEMS, RESULT, TRIALS
from downstream_runs.core.task import TaskSpec
from downstream_runs.corpora import quesst14
from downstream_runs.protocols import qbe
from downstream_runs.scoring import eer, trials
from downstream_runs.scoring.names import ScoringError
from downstream_runs.scoring.sums import in_order
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import sha256_file

GOOD, WRONG = 0, 1
SHARES = ("numerator", "denominator")
ROUNDING = 1e-9
"""Of the same numbers added in another order."""


@dataclass(frozen=True)
class Check:
    """One thing that was held against the result. good: None where there is nothing to hold it against."""

    good: bool | None
    text: str

    def __str__(self) -> str:
        return f"{'-       ' if self.good is None else 'ok      ' if self.good else 'MISMATCH'} {self.text}"


def printed(found: Iterable[Check]) -> list[Check]:
    """The checks as a list, after each is printed."""
    every = list(found)
    for check in every:
        print(check)
    return every


def verify(place: Path, data: Path | None, file: Path | None = None) -> int:
    """Recompute the numbers of a result, or of a run's folder, from its files; 0 if all agree, else 1."""
    path = result_file(place)
    result = results.read(path)
    print(Check(True, f"{path}: the content has its hash"))
    found = printed(checks(path.parent, result, data, file))
    bad = sum(check.good is False for check in found)
    recomputed = sum(check.good is True for check in found)
    print(f"{recomputed} agree, {bad} do not" + ("" if recomputed else "; no number could be recomputed"))
    return WRONG if bad else GOOD


def checks(
    folder: Path, result: Result, data: Path | None = None, file: Path | None = None
) -> Iterator[Check]:
    """Files first, then every number that can be computed again.

    data: the corpus of a task that is scored against more than its own files, where it has moved. file: that
    of a task that is code.
    """
    for name, expected in result.artefacts.items():
        path = folder / name
        found = sha256_file(path) if path.is_file() else "absent"
        if found != expected:
            yield Check(False, f"{name}: its SHA-256 is {found}, the result has {expected}")
    odd = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if _is_odd(path))
    if odd:
        # Scorers would wait for a named pipe for ever.
        yield Check(False, f"no number is computed again: {', '.join(odd)}: neither a file nor a folder")
        return
    folds = [name for name in result.artefacts if name.endswith(f"/{RESULT}")]
    if not folds:
        scored_from_searches = (folder / BENCHMARK).is_file()
        yield from (
            _searches(folder, result, data) if scored_from_searches else _numbers(folder, result, file)
        )
        return
    parts = []
    for name in folds:
        parts.append(results.read(folder / name))
        for check in checks((folder / name).parent, parts[-1], file=file):
            yield dataclasses.replace(check, text=f"{Path(name).parent}: {check.text}")
    for metric in result.metrics:
        if metric.role == "headline" and tasks.of_result(result, file=file).folds:
            values = [part.headline(metric.name) for part in parts]
            mean = in_order(one.value for one in values if one) / len(values)
            yield _compared(metric, mean, f"mean of {len(parts)} folds")


def _is_odd(path: Path) -> bool:
    """Whether a name stands for a pipe, a device or a socket; a link to nothing is as good as absent."""
    return path.exists() and not path.is_file() and not path.is_dir()


def result_file(path: Path) -> Path:
    """The result that is named, by itself or by its run's folder: a finished run prints both."""
    return path / RESULT if path.is_dir() else path


def _numbers(folder: Path, result: Result, file: Path | None = None) -> Iterator[Check]:
    task = tasks.of_result(result, file=file)
    # Files of other splits belong to the last evaluation, not to the selected checkpoint.
    splits = {official.name(task, result.config, split): split for split in task.test_splits}
    for metric in result.metrics:
        if metric.split not in splits:
            continue
        found = dict(_recomputed(folder, task, metric, splits[metric.split]))
        for source, value in found.items():
            yield _compared(metric, value, source)
        if not found:
            yield Check(None, f"{metric.name} of {metric.split}: no file to compute it from")


def _searches(folder: Path, result: Result, data: Path | None) -> Iterator[Check]:
    """QbE: MTWV of every layer on dev and of the best on eval, from the scores that the run kept."""
    try:
        root = data or Path(result.corpus.root)
        again = qbe.again(quesst14.load(root, bool(result.shortfall)), folder, result.layer)
        found = {(one.name, one.split): one for one in again}
    except (UsageError, OSError) as error:  # the corpus is elsewhere, or not on this machine
        yield Check(None, f"MTWV is not computed again: {error}")
        return
    for metric in result.metrics:
        other = found[metric.name, metric.split]
        yield _compared(metric, other.value, "scores of all trials")
        if metric.role == "headline":
            yield Check(
                other.selection == metric.selection, f"the scores of all layers give: {other.selection}"
            )


def _recomputed(folder: Path, task: TaskSpec, metric: Metric, split: str) -> Iterator[tuple[str, float]]:
    """Where a number can be computed from, and what it is; only headlines have files of their own."""
    factor = 100.0 if metric.unit == "percent" else 1.0
    if task.test is None:
        try:
            scores = task.score(folder, split, {})
        except (ScoringError, OSError, KeyError):  # its files are not kept, or the number is s3prl's own
            scores = ()
        yield from (("predictions", score.value) for score in scores if score.metric == metric.name)
    if metric.role == "headline" or task.test is None:
        share = _shares(folder / ITEMS).get((metric.name, metric.split))
        if share is not None:
            yield ITEMS, factor * share
    if metric.name == "eer" and metric.role == "headline" and (folder / TRIALS).is_file():
        yield TRIALS, factor * eer.score(*trials.read(folder / TRIALS)).rate


def _shares(path: Path) -> Mapping[tuple[str, str], float]:
    """(metric, split) -> sum of numerators over sum of denominators; UsageError for a damaged file."""
    if not path.is_file():
        return {}
    try:
        table = pandas.read_csv(
            path, keep_default_na=False, dtype={"metric": str, "split": str, **dict.fromkeys(SHARES, float)}
        )
        sums = table.groupby(["metric", "split"])[list(SHARES)].sum()
        shares: dict[tuple[str, str], float] = (sums[SHARES[0]] / sums[SHARES[1]]).to_dict()  # type: ignore[assignment]
        return shares
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"{path} is no file of test items: columns metric, split, item, group, numerator and denominator "
            "were expected; make the run again with --rerun always"
        ) from None


def _compared(metric: Metric, value: float, source: str) -> Check:
    good = math.isclose(metric.value, value, rel_tol=ROUNDING, abs_tol=ROUNDING)
    said = f"{metric.name} of {metric.split} is {metric.value!r}"
    return Check(good, f"{said} by {source}" if good else f"{said}, {source} gives {value!r}")
