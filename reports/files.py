"""Writing a folder of generated files, whole or not at all, and clearing what an earlier report left."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from upstream_arm.common.errors import ReportError
from upstream_arm.common.reading import read_text

#: Names the files of the last report in a folder, so that the next one removes what it no longer makes.
MANIFEST = ".report.json"


def write(path: Path, content: bytes) -> None:
    """Write a file by a temporary name beside it; an unchanged one is left alone. ReportError if it fails."""
    try:
        if path.is_file() and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ReportError(
            f"{path} cannot be written ({error.strerror}), a folder for the report was expected; name "
            "another with --to"
        ) from None


def write_all(folder: Path, contents: Mapping[str, bytes], *, prune: bool) -> None:
    """Write files by their paths within `folder`; `prune` removes those that only an earlier report made."""
    for name, content in contents.items():
        write(folder / name, content)
    if not prune:
        return
    for name in _earlier(folder):
        if name not in contents:
            (folder / name).unlink(missing_ok=True)
    write(folder / MANIFEST, (json.dumps(sorted(contents), indent=1) + "\n").encode())


def _earlier(folder: Path) -> list[str]:
    try:
        names = json.loads(read_text(folder / MANIFEST))
    except (OSError, ValueError):
        return []
    if not isinstance(names, list):
        return []
    inside = folder.resolve()
    return [
        name for name in names if isinstance(name, str) and (folder / name).resolve().is_relative_to(inside)
    ]
