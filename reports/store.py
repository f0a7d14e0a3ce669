"""Find the results of earlier runs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from downstream_runs.core.results import Result, read
from downstream_runs.core.run_folder import OUTCOME, PLAN, RATES, RESULT, RunFolder, is_fold
from upstream_arm.common.errors import ReportError
from upstream_arm.common.program import PROGRAM

RUNS = Path("runs")
MAKE_ONE = f"{PROGRAM} armhubert asr --demo"


@dataclass(frozen=True)
class Search:
    """What a search found.

    results: (file, result), sorted by file.
    problems: a sentence for each result file that cannot be used, sorted by file.
    unfinished: a sentence for each run that has folds but not yet the mean of all of them, and for each that
    failed, with the reason; sorted by folder.
    """

    results: tuple[tuple[Path, Result], ...]
    problems: tuple[str, ...]
    unfinished: tuple[str, ...] = ()


class Folder(NamedTuple):
    """A folder below a place: the names of its folds, sorted, and of its files."""

    path: Path
    folds: tuple[str, ...]
    files: frozenset[str]


def walk(place: Path, rates: bool = False) -> Iterator[Folder]:
    """`place` and the folders below it in which results can be; links to folders are followed.

    A folder that can be reached in several ways is visited once, under a name without links if it has one. A
    link to a folder above itself is not followed. Hidden and temporary folders are passed over, as are
    folds, which are named by the run that has them; a run's own folder holds no other run.
    rates: whether to visit the runs of a sweep, whose result is that of the chosen one.
    """
    seen: set[tuple[int, int]] = set()
    waiting, linked = [place], deque[Path]()
    while waiting or linked:
        path = waiting.pop() if waiting else linked.popleft()
        try:
            status = path.stat()
            entries = sorted(os.scandir(path), key=lambda entry: entry.name, reverse=True)
        except OSError:  # a folder of somebody else's
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        # A link to itself is an error for the entry, and no folder for os.path.
        is_folder = [os.path.isdir(one.path) if one.is_symlink() else one.is_dir() for one in entries]
        below = [entry.name for entry, inside in zip(entries, is_folder, strict=True) if inside]
        names = frozenset(entry.name for entry in entries).difference(below)
        yield Folder(path, tuple(sorted(filter(is_fold, below))), names)
        for name in below if PLAN not in names else ():
            passed_over = is_fold(name) or name.startswith(".") or name == "tmp" or name.endswith(".tmp")
            if passed_over or (name == RATES and not rates):
                continue
            if not (path / name).is_symlink():
                waiting.append(path / name)
            elif not path.resolve().is_relative_to((path / name).resolve()):
                linked.append(path / name)


def find(places: Sequence[Path] = ()) -> Search:
    """Read every `result.json` in or below `places` (folders or result files); without places, below `runs/`.

    Searches as `walk` does. A task with folds has one number, their mean. A file that can be reached twice
    counts once. Raises ReportError for a place that is absent; only `runs/` may be.
    """
    files: dict[Path, Path] = {}
    unfinished: dict[Path, str] = {}
    for place in places or ([RUNS] if RUNS.is_dir() else []):
        for path in _files(place, unfinished):
            files.setdefault(path.resolve(), path)
    results, problems = [], []
    for path in sorted(files.values()):
        try:
            results.append((path, read(path)))
        except ReportError as error:
            problems.append(str(error))
    return Search(tuple(results), tuple(problems), tuple(unfinished[path] for path in sorted(unfinished)))


def _files(place: Path, unfinished: dict[Path, str]) -> Iterator[Path]:
    if place.is_dir():
        for folder in walk(place):
            path = folder.path
            if RESULT in folder.files:
                yield path / RESULT
            elif folder.folds:
                done = sum((path / name / RESULT).is_file() for name in folder.folds)
                unfinished[path] = (
                    f"{path}: {done} of its folds are done and not all: no number before; "
                    "run the same command again" + "".join(_reason(path / name) for name in folder.folds)
                )
            elif OUTCOME in folder.files:
                unfinished[path] = f"{path}: no number" + _reason(path)
    elif place.exists():
        yield place
    else:
        raise ReportError(
            f"{place} does not exist, a {RESULT} or a folder with some was expected; "
            f"{PROGRAM} UPSTREAM TASK makes one under runs/ (a report goes to the folder of --to)"
        )


def _reason(folder: Path) -> str:
    """Why the run in a folder failed, as its last attempt left it; empty where it did not."""
    run = RunFolder(folder)
    failure = "" if run.is_finished else " ".join(run.failure().split())
    return f"; failed: {failure}" if failure else ""
