"""A table's audio as s3prl is shown it: links by names that its lists of predictions can hold."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from downstream_runs.corpora import texts


def named(paths: Iterable[str]) -> dict[str, str]:
    """Path -> a name without dots and blanks for s3prl's lists of predictions, each once."""
    found: dict[str, str] = {}
    used: set[str] = set()
    for path in paths:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", os.path.splitext(path)[0]).strip("-") or "audio"
        name, number = stem, 1
        while name in used:
            number += 1
            name = f"{stem}-{number}"
        used.add(name)
        found[path] = name
    return found


def numbered(speakers: Iterable[str]) -> dict[str, str]:
    """Speaker -> a number in VoxCeleb1's form, by which s3prl's speaker verification tells them apart."""
    return {name: f"id{10001 + place}" for place, name in enumerate(sorted(set(speakers)))}


def view(
    table: Path, paths: Sequence[str], lines: Sequence[str], cache: Path
) -> tuple[Path, dict[str, Path]]:
    """A folder of a table in the cache, and in it for each path a link to the audio, by its name.

    lines: all that the table says and how it is divided, of which each has a folder of its own.
    """
    names = {path: f"{name}{Path(path).suffix}" for path, name in named(paths).items()}
    digest = texts.digest([f"{table.parent}\n", *lines])
    folder = cache.resolve() / "tables" / f"{table.stem}-{digest[:16]}"
    links = {path: folder / "audio" / name for path, name in names.items()}
    with texts.writing(folder):
        for path, place in links.items():
            link(place, table.parent / path)
    return folder, links


def link(place: Path, file: Path) -> None:
    """A link at `place` to a file, where there is none yet."""
    if not place.is_symlink():
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another run makes the same view
            place.symlink_to(file.resolve())
