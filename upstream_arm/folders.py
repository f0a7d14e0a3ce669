"""What belongs to a folder of recordings: the one rule for all corpora, of the tasks and of distillation.

- A name that begins with a dot never belongs: temporary files, the `._` files of macOS, `.ipynb_checkpoints`;
  nor does the folder `__MACOSX` that its archives hold.
- Links to files and to folders are followed. A link to a folder that it lies in is passed over; two names for
  one folder are an error, since its recordings would count twice.
- A name that no result file could hold is an error: bytes that are not UTF-8, control characters, line
  breaks.
- A folder that cannot be read is an error.
"""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from upstream_arm import listings
from upstream_arm.common.errors import UpstreamError
from upstream_arm.listings import Names

_FOREIGN = "__MACOSX"
#: Control characters, lone surrogates (which stand for bytes that are not UTF-8), line and paragraph ends.
_UNWRITABLE = frozenset(("Cc", "Cs", "Zl", "Zp"))

_UNWRITABLE_NAME = (
    "has a name that no result file can hold (not UTF-8, or with a control character or line break)"
)

Suffixes = str | tuple[str, ...]


def belongs(name: str) -> bool:
    """Whether a file or folder of this name may be part of a corpus: it is neither hidden nor of macOS."""
    return not name.startswith(".") and name != _FOREIGN


def is_writable(text: str) -> bool:
    """Whether a name or path can stand in a result file: UTF-8 without control characters and line breaks."""
    return text.isprintable() or not any(unicodedata.category(sign) in _UNWRITABLE for sign in text)


def subfolders(folder: Path, *, ordered: bool = True) -> list[Path]:
    """The folders in `folder` that belong, in the order of their names, or as the file system lists them.

    UpstreamError for a folder that cannot be read, or a name that cannot be written.
    """
    return _chosen(folder, _names(folder), folders=True, ordered=ordered)


def files(folder: Path, suffixes: Suffixes, *, ordered: bool = True) -> list[Path]:
    """The files in `folder` that belong and end in one of `suffixes`, in the same orders.

    A link that leads nowhere counts as a file, so that whoever reads it can name it. UpstreamError as for
    `subfolders`.
    """
    return _chosen(folder, _names(folder), folders=False, suffixes=suffixes, ordered=ordered)


def walk(folder: Path, suffixes: Suffixes) -> Iterator[Path]:
    """The `files` of `folder`, then those of each of its subfolders, at any depth.

    UpstreamError as for `subfolders`, and for a folder that is met under two names.
    """
    yield from _walk(folder, suffixes, (_identity(folder),), {})


def _walk(
    folder: Path, suffixes: Suffixes, above: tuple[tuple[int, int], ...], seen: dict[tuple[int, int], Path]
) -> Iterator[Path]:
    names = _names(folder)
    yield from _chosen(folder, names, folders=False, suffixes=suffixes)
    for inner in _chosen(folder, names, folders=True):
        identity = _identity(inner)
        if identity in above:
            continue
        other = seen.setdefault(identity, inner)
        if other is not inner:
            raise UpstreamError(
                f"{inner} and {other} are one folder, and its recordings would count twice; remove the link"
            )
        yield from _walk(inner, suffixes, (*above, identity), seen)


def _identity(folder: Path) -> tuple[int, int]:
    with _readable(folder):
        status = folder.stat()
        return status.st_dev, status.st_ino


def _names(folder: Path) -> Names:
    """What belongs in a folder: True for a folder, False for a file, None for devices and the like."""
    if not is_writable(str(folder)):
        raise UpstreamError(f"{os.fsencode(folder)!r} {_UNWRITABLE_NAME}; rename that folder")
    with _readable(folder):
        memory = listings.current()
        known = None if memory is None else memory.folder(str(folder))
        if known is not None and known.names is not None:
            return known.names
        with os.scandir(folder) as listed:
            names = {entry.name: _is_folder(entry) for entry in listed if belongs(entry.name)}
    if known is not None:
        known.names = names
    return names


def _chosen(
    folder: Path, names: Names, *, folders: bool, suffixes: Suffixes = "", ordered: bool = True
) -> list[Path]:
    """The folders, or the files with these suffixes; all of their names can be written."""
    chosen = [name for name, is_folder in names.items() if name.endswith(suffixes) and is_folder == folders]
    if ordered:
        chosen.sort()
    for name in chosen:
        if not is_writable(name):
            raise UpstreamError(f"{os.fsencode(name)!r} in {folder} {_UNWRITABLE_NAME}; rename or remove it")
    return [folder / name for name in chosen]


def _is_folder(entry: os.DirEntry[str]) -> bool | None:
    """True for a folder and False for a file, with links followed; None for devices and the like."""
    try:
        if entry.is_dir():
            return True
        return False if entry.is_file() or not os.path.exists(entry.path) else None
    except OSError:  # a link that leads to itself, which nobody can read
        return False


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UpstreamError(
            f"cannot list {folder} ({reason}); make it readable with chmod -R u+rX {folder}"
        ) from None
