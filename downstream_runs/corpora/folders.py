"""The folders and names that a user gives: whole paths that a result file can hold.

What belongs to a folder of recordings is the rule of `upstream_arm.folders`, which distillation follows too.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from upstream_arm.common.errors import UsageError
from upstream_arm.folders import belongs, files, is_writable, subfolders, walk
from upstream_arm.listings import is_file

__all__ = [
    "belongs",
    "files",
    "is_file",
    "place",
    "require_writable",
    "subfolders",
    "walk",
    "what_lies_there",
]

AUDIO = (".flac", ".wav", ".m4a", ".mp3", ".aac", ".ogg", ".opus", ".sph")
"""Endings of audio files, in whatever case."""


def place(data: Path) -> Path:
    """The whole path of the folder that the user names; UsageError if no result file could hold it."""
    data = data.expanduser().absolute()
    require_writable(data, "the data folder")
    require_writable(data.resolve(), f"the data folder {data}")
    return data


def require_writable(path: Path | str, where: object) -> None:
    """UsageError naming `where` if a name that a list or the user gives could stand in no result file."""
    if not is_writable(str(path)):
        raise UsageError(
            f"{where} names {str(path)!a}, which is not UTF-8 or holds a control character or a line break: "
            "no result file can hold it; rename it"
        )


def what_lies_there(folder: Path) -> str:
    """The audio below `folder`, such as `20 .wav files (first: 84-121123-0000.wav)`; empty if none."""
    found = [path for path in walk(folder, "") if path.suffix.lower() in AUDIO] if folder.is_dir() else []
    counts = Counter(path.suffix for path in found)
    listed = " and ".join(f"{number:,} {suffix} files" for suffix, number in counts.most_common())
    return f"{listed} (first: {found[0].name})" if found else ""
