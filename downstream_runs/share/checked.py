"""Is a bundle true to itself: every file as it was shared, every number from its predictions, every label.

Nothing of it is believed that something else in it can tell: metrics are made again as the engine makes them
and must be equal in all but rounding; labels follow from corpus, recipe, steps and upstream. What no file of
a bundle can tell (who trained it, the seed, the machine), and predictions that were made up as a whole, are
not found so: `repeat` finds them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from downstream_runs import tasks
from downstream_runs.core import results
from downstream_runs.core.results import OWN_TASK, PARTIAL, Metric, Result
from downstream_runs.core.run_folder import RESULT
from downstream_runs.core.task import TaskSpec
from downstream_runs.corpora import quesst14
from downstream_runs.engine.result_builder import SKIPPED
from downstream_runs.protocols import sd
from downstream_runs.runs.verify import ROUNDING, Check
from downstream_runs.share import bundle, making
from downstream_runs.share.bundle import REFERENCES, WEIGHTS, Manifest
from downstream_runs.share.claims import contradictions
from downstream_runs.share.rebuilt import Row, rebuild, rows_of
from upstream_arm.common.errors import DONE, FAILED, SuperbError, UsageError
from upstream_arm.common.files import sha256_file


def checks(folder: Path) -> Iterator[Check]:
    """All that is held against a bundle; what cannot be read or computed is a Check that is not good."""
    try:
        yield from _checks(folder)
    # Anybody's files: whatever a parser or scorer says of them, they are refused.
    except Exception as error:
        yield Check(
            False, f"{type(error).__name__}: {error}" if not isinstance(error, SuperbError) else str(error)
        )


def verify(folder: Path) -> int:
    """Print all checks of a bundle; 0 if all agree, else 1."""
    bad = 0
    for check in checks(folder):
        print(check)
        bad += check.good is False
    print(f"{bad} do not agree: the bundle is refused" if bad else "all agree")
    return FAILED if bad else DONE


def require(folder: Path) -> tuple[Result, Manifest]:
    """The result and the manifest of a bundle that agrees with itself; UsageError for any other."""
    bad = [check.text for check in checks(folder) if check.good is False]
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise UsageError(f"{folder} is refused: {bad[0]}{more}; it was changed, or damaged on its way")
    return results.read(folder / RESULT), bundle.read(folder)


def _checks(folder: Path) -> Iterator[Check]:
    manifest = bundle.read(folder)
    wrong = bundle.differences(folder, manifest)
    yield from (Check(False, text) for text in wrong)
    if wrong:
        return
    yield Check(True, f"{len(manifest.files)} files are those that {manifest.by} shared")
    result = results.read(folder / RESULT)
    own = result.config.get(OWN_TASK)
    if own is not None and "kind" not in own:
        yield Check(False, f"the task {result.task} is code, which is not run")
        return
    if own is not None and result.task in tasks.known():
        yield Check(False, f"a task of one's own is called {result.task}, as one of SUPERB's")
    task = tasks.of_result(result)
    yield from _files(folder, manifest, result, task)
    yield from _folds(result, task)
    yield from _one(folder, result, task)


def _files(folder: Path, manifest: Manifest, result: Result, task: TaskSpec) -> Iterator[Check]:
    """Only what belongs to such a bundle is in it, and all of that."""
    named = set(making.named(folder, result))
    wanted = {RESULT, *named, *making.unnamed(folder, result, task)}
    if task.name == "sd":
        wanted |= {f"{REFERENCES}/{split}.rttm" for split in sd.FOLDERS}
    if task.name == "qbe":
        places = tuple(f"{REFERENCES}/{split}/" for split in quesst14.SPLITS)
        wanted |= {name for name in manifest.files if name.startswith(places)}
    weights = {name for name in named if name.endswith(WEIGHTS)}
    for name in sorted(manifest.files.keys() - (wanted - weights)):
        yield Check(False, f"{name} does not belong to a bundle of {task.name}")
    for name in sorted(wanted - weights - manifest.files.keys()):
        yield Check(False, f"{name} is needed, and not there")
    if set(manifest.left_out) != weights:
        yield Check(False, "left_out is not what the result names and the bundle has not")


def _folds(result: Result, task: TaskSpec) -> Iterator[Check]:
    """A task with folds has all of them, or of a part of a corpus those that it has."""
    found = [Path(name).parent.name for name in result.artefacts if Path(name).name == RESULT]
    wanted = [fold for fold in task.folds if fold in found or PARTIAL not in result.labels]
    if found != wanted or (task.folds and not found):
        expected = ", ".join(task.folds) or "none"
        yield Check(False, f"its folds are {', '.join(found) or 'none'}, {expected} were expected")


def _one(folder: Path, result: Result, task: TaskSpec) -> Iterator[Check]:
    """One result: its files, its folds, its numbers, and what it says of itself."""
    parts: list[tuple[str, Result]] = []
    for name, digest in result.artefacts.items():
        if not name.endswith(WEIGHTS) and sha256_file(folder / name) != digest:
            yield Check(False, f"{name} is not the file that the result was made from: its SHA-256 differs")
        if Path(name).name == RESULT:
            parts.append((Path(name).parent.name, results.read(folder / name)))
    for fold, part in parts:
        for check in (*_one(folder / fold, part, task), *_like(result, part)):
            yield dataclasses.replace(check, text=f"{fold}: {check.text}")
    told = list(contradictions(result, task))
    yield from (Check(False, text) for text in told)
    if not told:
        yield Check(True, f"labels follow from the rest: {', '.join(result.labels) or 'none'}")
    yield from _numbers(folder, result, task)


def _like(result: Result, part: Result) -> Iterator[Check]:
    """A fold's result is of the same upstream, recipe and machine's words as the whole."""
    for name in (
        "upstream",
        "task",
        "recipe",
        "seed",
        "upstream_checkpoint_sha256",
        "upstream_revision",
        "upstream_weights_sha256",
        "upstream_parameters",
        "states",
        "layer",
        "upstream_switches",
    ):
        if getattr(result, name) != getattr(part, name):
            yield Check(False, f"its {name} is not that of the whole result")
    if not set(part.labels) <= set(result.labels) or not set(part.deviations) <= set(result.deviations):
        yield Check(False, "it has labels or deviations that the whole result has not")


def _numbers(folder: Path, result: Result, task: TaskSpec) -> Iterator[Check]:
    again = rebuild(folder, result, task)
    shown = [metric for metric in result.metrics if metric.name != SKIPPED]
    if len(shown) != len(again.metrics):
        yield Check(False, f"it has {len(shown)} numbers, its files give {len(again.metrics)}")
    for said, made in zip(shown, again.metrics, strict=False):
        yield _compared(said, made)
    for skipped in (metric for metric in result.metrics if metric.name == SKIPPED):
        if skipped.role != "information" or skipped.official:
            yield Check(False, f"{SKIPPED} stands as a number of the task")
    for split, number in again.counts.items():
        if result.corpus.counts.get(split) != number:
            yield Check(False, f"the corpus has not {number:,} in {split}, which its files name")
    for name, rows in again.tables.items():
        yield _table(folder / name, rows, grouped=task.own is None and task.name not in ("ic", "er"))


def _compared(said: Metric, made: Metric) -> Check:
    text = f"{said.name} of {said.split} is {said.value!r}"
    for field in dataclasses.fields(Metric):
        one, other = getattr(said, field.name), getattr(made, field.name)
        same = one == other
        if field.name == "value":
            same = math.isclose(one, other, rel_tol=ROUNDING, abs_tol=ROUNDING)
        if not same:
            return Check(False, f"{text}: its {field.name} is {one!r}, the files give {other!r}")
    return Check(True, f"{text} by its predictions")


def _table(path: Path, rows: Sequence[Row], grouped: bool) -> Check:
    """A CSV file against the rows that it must have; behind them may stand the result's labels.

    grouped: whether the groups are known from the items' names.
    """
    found = rows_of(path)
    width, group = len(rows[0]), rows[0].index("group") if "group" in rows[0] else None

    def kept(row: Sequence[str]) -> tuple[str, ...]:
        return tuple(cell for place, cell in enumerate(row) if grouped or place != group)

    extra = {row[width:] for row in found[:1]} - {(), ("labels",)}
    same = len(found) == len(rows) and not extra
    same = same and all(kept(one[:width]) == kept(two) for one, two in zip(found, rows, strict=False))
    said = f"{path.name}: {max(len(rows) - 1, 0):,} rows"
    return Check(same, said if same else f"{path.name} is not what the predictions give")
