"""The listing that every corpus of the tasks is read by, and s3prl's readers with it.

The rule itself is `upstream_arm.folders`, which distillation follows too; here its errors are UsageErrors.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from upstream_arm import folders
from upstream_arm.common.errors import UpstreamError, UsageError
from upstream_arm.folders import belongs

__all__ = ["belongs", "files", "place", "require_writable", "subfolders", "walk", "what_lies_there"]

AUDIO = (".flac", ".wav", ".m4a", ".mp3", ".aac", ".ogg", ".opus", ".sph")
"""Endings of audio files, in whatever case."""


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder` that belong to a corpus, in the order of their names; UsageError as below."""
    with _usage():
        return folders.subfolders(folder)


def files(folder: Path, suffixes: folders.Suffixes) -> list[Path]:
    """The files in `folder` that belong and end in one of `suffixes`, in the order of their names.

    UsageError for a folder that cannot be read and for a name that no result file could hold.
    """
    with _usage():
        return folders.files(folder, suffixes)


def walk(folder: Path, suffixes: folders.Suffixes) -> list[Path]:
    """The `files` of `folder`, then those of each of its subfolders, at any depth; UsageError also for a
    folder that is met under two names."""
    with _usage():
        return list(folders.walk(folder, suffixes))


def place(data: Path) -> Path:
    """The whole path of the folder that the user names; UsageError if no result file could hold it."""
    data = data.expanduser().absolute()
    require_writable(data, "the data folder")
    require_writable(data.resolve(), f"the data folder {data}")
    return data


def require_writable(path: Path | str, where: object) -> None:
    """UsageError naming `where` if a name that a list or the user gives could stand in no result file."""
    if not folders.is_writable(str(path)):
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


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except UpstreamError as error:
        raise UsageError(str(error)) from None
