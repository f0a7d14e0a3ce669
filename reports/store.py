"""Find the results of earlier runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.errors import ReportError
from reports.results import FILE_NAME, Result, read

RUNS = Path("runs")


@dataclass(frozen=True)
class Found:
    """What a search found.

    results: (file, result), sorted by file.
    problems: (file, sentence) for each result file that cannot be used, sorted by file.
    """

    results: tuple[tuple[Path, Result], ...]
    problems: tuple[tuple[Path, str], ...]


def find(places: Sequence[Path] = ()) -> Found:
    """Read every `result.json` in or below `places` (folders or result files); without places, below `runs/`.

    Passes over hidden and temporary folders below a place. A file that is found twice counts once. Raises
    ReportError for a place that is absent; only `runs/` may be.
    """
    files: dict[Path, Path] = {}
    for place in places or ([RUNS] if RUNS.is_dir() else []):
        for path in _files(place):
            files.setdefault(path.resolve(), path)
    results, problems = [], []
    for path in sorted(files.values()):
        try:
            results.append((path, read(path)))
        except ReportError as error:
            problems.append((path, str(error)))
    return Found(tuple(results), tuple(problems))


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    elif place.is_dir():
        for folder, folders, names in os.walk(place):
            # In place, so that os.walk does not go into them.
            folders[:] = [name for name in folders if not _passed_over(name)]
            if FILE_NAME in names:
                yield Path(folder) / FILE_NAME
    else:
        raise ReportError(
            f"{place} does not exist, a {FILE_NAME} or a folder with some was expected; "
            "./run_superb.sh UPSTREAM TASK makes one under runs/"
        )


def _passed_over(name: str) -> bool:
    # `rates` holds the runs of a sweep; the chosen one's result is the sweep's.
    return name.startswith(".") or name in ("tmp", "rates") or name.endswith(".tmp")
