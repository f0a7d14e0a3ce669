"""A bundle: what is shared of one run, a folder with everything that its numbers are computed from.

    UPSTREAM/TASK/ID/
    ├── bundle.json      what is in it: a Manifest
    ├── result.json      the run's, without paths of the machine
    ├── items.csv, …     the run's predictions, items and journals, as they are
    ├── references/      what SD and QbE are scored against
    └── foldN/           of a task with folds: the same of each

ID is the beginning of the manifest's hash, so that equal bundles have one place and different ones never the
same. A bundle is read as anybody's: regular files only, of plain names and sane sizes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from downstream_runs.core.jsontypes import check_fields, from_mapping, unique_keys
from downstream_runs.core.results import Result, config_hash
from downstream_runs.core.run import upstream_folder
from downstream_runs.core.run_folder import BUNDLE
from upstream_arm.common.errors import ReportError, UsageError
from upstream_arm.common.files import atomic_write_text, sha256_file
from upstream_arm.common.reading import read_text
from upstream_arm.common.words import shown

VERSION = 1
REFERENCES = "references"
#: What git hosts take of one file; of a whole bundle; and how many files a task of many folds may have.
FILE_BYTES, BUNDLE_BYTES, FILES = 100 << 20, 1 << 30, 5000
#: Digits of the manifest's hash that are the name of the bundle's folder.
DIGITS = 16
#: Weights of heads: large, and no number is computed from them again.
WEIGHTS = (".ckpt", ".pt")
_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,99}/){0,3}[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_BY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,38}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Manifest:
    """`bundle.json`. Raises ReportError for wrong types and values.

    bundle_version: VERSION.
    by: who shared it, as they call themselves.
    run: the name of the run's folder.
    run_content_sha256: of the run's own result, before paths were hidden in it.
    files: name -> SHA-256, of every other file of the bundle.
    left_out: files that the result names and the bundle has not, by the same names.
    bundle_sha256: of the canonical JSON of all other keys.
    """

    bundle_version: int
    by: str
    run: str
    run_content_sha256: str
    files: Mapping[str, str]
    left_out: tuple[str, ...]
    bundle_sha256: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.bundle_version != VERSION:
            raise ReportError(f"bundle_version is {self.bundle_version}, {VERSION} was expected")
        check_by(self.by)
        if not _NAME.fullmatch(self.run) or "/" in self.run:
            raise ReportError(f"run is {shown(self.run)}, the name of a folder was expected")
        if len(self.files) > FILES:
            raise ReportError(f"it names {len(self.files):,} files, at most {FILES:,} were expected")
        for name in (*self.files, *self.left_out):
            if not _NAME.fullmatch(name):
                raise ReportError(
                    f"it names {shown(name)}, a path within the bundle of letters, digits, dots, dashes and "
                    "underscores was expected"
                )
        for digest in (self.run_content_sha256, *self.files.values()):
            if not re.fullmatch("[0-9a-f]{64}", digest):
                raise ReportError(f"it has {shown(digest)}, a SHA-256 of 64 hexadecimal digits was expected")
        wrong = [name for name in self.left_out if not name.endswith(WEIGHTS)]
        if wrong:
            raise ReportError(f"left_out names {wrong[0]}, only weights ({', '.join(WEIGHTS)}) may be")
        expected = self._hash()
        if not self.bundle_sha256:
            object.__setattr__(self, "bundle_sha256", expected)
        elif self.bundle_sha256 != expected:
            raise ReportError("bundle_sha256 is not the hash of the rest: it was changed by hand")

    def _hash(self) -> str:
        return config_hash({key: value for key, value in self.to_json().items() if key != "bundle_sha256"})

    def to_json(self) -> dict[str, Any]:
        """As the file has it."""
        return {**dataclasses.asdict(self), "left_out": list(self.left_out)}


def check_by(name: str) -> None:
    """ReportError for a name that would not stand in a table."""
    if not _BY.fullmatch(name):
        raise ReportError(
            f"by is {shown(name)}, a name of at most 40 letters, digits, blanks, dots, dashes and "
            "underscores was expected"
        )


def place(result: Result, manifest: Manifest) -> PurePosixPath:
    """Where a bundle lies in a repository's folder of bundles: its content alone says it."""
    task = upstream_folder(result.task)
    return PurePosixPath(upstream_folder(result.upstream), task, manifest.bundle_sha256[:DIGITS])


def write(folder: Path, manifest: Manifest) -> None:
    """Write `bundle.json`, the last file of a bundle."""
    atomic_write_text(folder / BUNDLE, json.dumps(manifest.to_json(), indent=1) + "\n")


def read(folder: Path) -> Manifest:
    """The manifest of a folder; UsageError, one sentence with the file's name, if it cannot be used."""
    path = folder / BUNDLE
    try:
        if path.is_symlink():
            raise ReportError("it is a link, a file was expected")
        content = json.loads(read_text(path, 1 << 22), object_pairs_hook=unique_keys)
        manifest: Manifest = from_mapping(Manifest, content, "the manifest")
        if not manifest.bundle_sha256 or not content.get("bundle_sha256"):
            raise ReportError("it has no bundle_sha256")
    except ReportError as error:
        raise UsageError(f"{path}: {error}; take the bundle from its repository again") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}), a bundle was expected") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON ({error}); take the bundle from its repository again") from None
    return manifest


def differences(folder: Path, manifest: Manifest) -> list[str]:
    """What in a folder is not what its manifest says, a sentence each: links, sizes, names, hashes."""
    found: list[str] = []
    sizes: dict[str, int] = {}
    for name, entry in _walk(folder):
        status = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            found.append(f"{name} is a link, a pipe or a device, a regular file was expected")
        elif status.st_size > FILE_BYTES:
            found.append(f"{name} has {status.st_size:,} bytes, at most {FILE_BYTES:,} were expected")
        else:
            sizes[name] = status.st_size
        if len(sizes) > FILES + 1:
            return [f"it holds more than {FILES:,} files"]
    if sum(sizes.values()) > BUNDLE_BYTES:
        return [f"it has {sum(sizes.values()):,} bytes, at most {BUNDLE_BYTES:,} were expected"]
    if found:
        return found
    sizes.pop(BUNDLE, None)
    found += [f"{shown(name)} is in no list of its files" for name in sorted(sizes.keys() - manifest.files)]
    found += [f"{name} is missing" for name in sorted(manifest.files.keys() - sizes)]
    for name in sorted(sizes.keys() & manifest.files):
        if sha256_file(folder / name) != manifest.files[name]:
            found.append(f"{name} is not the file that was shared: its SHA-256 differs")
    return found


def _walk(folder: Path, above: str = "") -> list[tuple[str, os.DirEntry[str]]]:
    """Every entry that is no folder, by its path; links to folders are entries."""
    found: list[tuple[str, os.DirEntry[str]]] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            name = above + entry.name
            if not entry.is_dir(follow_symlinks=False):
                found.append((name, entry))
            elif name.count("/") > 3 or len(found) > FILES + 1:
                found.append((f"{name}/", entry))  # told as a name that nothing lists
            else:
                found += _walk(Path(entry.path), f"{name}/")
    return found
