"""Find the results of earlier runs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.errors import ReportError
from reports.results import FILE_NAME, Result, read

RUNS = Path("runs")
OUTCOME = "outcome.json"
"""What a failed attempt at a run leaves in its folder."""


@dataclass(frozen=True)
class Found:
    """What a search found.

    results: (file, result), sorted by file.
    problems: (file, sentence) for each result file that cannot be used, sorted by file.
    unfinished: (folder, sentence) for each run that has folds but not yet the mean of all of them, and for
    each that failed, with the reason.
    """

    results: tuple[tuple[Path, Result], ...]
    problems: tuple[tuple[Path, str], ...]
    unfinished: tuple[tuple[Path, str], ...] = ()


def find(places: Sequence[Path] = ()) -> Found:
    """Read every `result.json` in or below `places` (folders or result files); without places, below `runs/`.

    Passes over hidden and temporary folders below a place, and over folds: a task with folds has one number,
    their mean. A file that is found twice counts once. Raises ReportError for a place that is absent; only
    `runs/` may be.
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
            problems.append((path, str(error)))
    return Found(tuple(results), tuple(problems), tuple(sorted(unfinished.items())))


def is_fold(name: str) -> bool:
    """Is this the name of a fold's folder, whose result is no row of its own?"""
    return re.fullmatch(r"fold[0-9]+", name) is not None


def _files(place: Path, unfinished: dict[Path, str]) -> Iterator[Path]:
    if place.is_file():
        yield place
    elif place.is_dir():
        for folder, folders, names in os.walk(place):
            folds = [name for name in folders if is_fold(name)]
            # In place, so that os.walk does not go into them.
            folders[:] = [name for name in folders if not (_passed_over(name) or is_fold(name))]
            if FILE_NAME in names:
                yield Path(folder) / FILE_NAME
            elif folds:
                done = sum((Path(folder) / name / FILE_NAME).is_file() for name in folds)
                unfinished[Path(folder)] = (
                    f"{folder}: {done} of its folds are done and not all: no number before; "
                    "run the same command again" + "".join(_reason(Path(folder) / name) for name in folds)
                )
            elif OUTCOME in names:
                unfinished[Path(folder)] = f"{folder}: no number" + _reason(Path(folder))
    else:
        raise ReportError(
            f"{place} does not exist, a {FILE_NAME} or a folder with some was expected; "
            "./run_superb.sh UPSTREAM TASK makes one under runs/"
        )


def _reason(folder: Path) -> str:
    """Why the run in a folder failed, as its last attempt left it; empty where it did not."""
    if (folder / FILE_NAME).exists():
        return ""
    try:
        said = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))["said"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f"; failed: {' '.join(str(said).split())}"


def _passed_over(name: str) -> bool:
    # `rates` holds the runs of a sweep; the chosen one's result is the sweep's.
    return name.startswith(".") or name in ("tmp", "rates") or name.endswith(".tmp")
