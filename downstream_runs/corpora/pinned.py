"""Files that s3prl's PyPI package leaves out, from a clone of s3prl or from the pinned commit on GitHub.

Whatever the way, a file is used only if its git blob id is the pinned one.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from downstream_runs.corpora import texts
from upstream_arm.common import transfer
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_path

COMMIT = "ec8064b5889f81ca460fbe2c094ce576a6f120b7"
"""s3prl's commit of version 0.4.18."""

BASE = f"https://raw.githubusercontent.com/s3prl/s3prl/{COMMIT}"

VARIABLE = "SUPERB_S3PRL"
"""Names a clone of s3prl's git repository, for machines that reach no network."""


@dataclass(frozen=True)
class PinnedFile:
    """One file of s3prl's repository: its path there and its git blob id (SHA-1, 40 hex digits)."""

    path: str
    blob: str

    @property
    def name(self) -> str:
        """The file's name without folders."""
        return self.path.rpartition("/")[2]


def blob_id(path: Path) -> str:
    """The id that git gives a file's content, see `bytes_id`."""
    return bytes_id(path.read_bytes())


def bytes_id(data: bytes) -> str:
    """The id that git gives a content: SHA-1 over `blob SIZE`, a zero byte and the bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def obtain(file: PinnedFile, cache: Path, base: str = BASE) -> Path:
    """The file from the clone that SUPERB_S3PRL names, else from `cache`, else downloaded into `cache`.

    Raises UsageError if the clone has another version of it, and if it can neither be found nor downloaded;
    nothing half written is left behind.
    """
    clone = os.environ.get(VARIABLE, "").strip()
    if not clone:
        kept = cache / "s3prl" / file.blob[:12] / file.name
        if not kept.is_file() or blob_id(kept) != file.blob:
            _download(file, f"{base}/{file.path}", kept)
        return kept
    path = Path(clone).expanduser() / file.path
    if not path.is_file():
        raise UsageError(
            f"{VARIABLE} is {clone}, and {path} is not there; name the root of a clone of s3prl, made with "
            f"`git clone https://github.com/s3prl/s3prl`"
        )
    found = blob_id(path)
    if found != file.blob:
        raise UsageError(
            f"{path} has the git blob id {found}, {file.blob} was expected; run `git checkout {COMMIT[:8]}` "
            "in that clone"
        )
    return path


def _download(file: PinnedFile, url: str, path: Path) -> None:
    with texts.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_path(path) as temporary:
            transfer.fetch(url, temporary, file.name)
            found = blob_id(temporary)
            if found != file.blob:
                raise UsageError(
                    f"{url} gave a file with the git blob id {found}, {file.blob} was expected: nothing "
                    f"was kept; run the same command again, or name a clone of s3prl in {VARIABLE}"
                )
    except (OSError, HTTPException) as error:
        raise UsageError(
            f"cannot download {url} ({transfer.why(error)}); run again with a network, or put {file.name} of "
            f"s3prl at commit {COMMIT[:8]} there yourself: run `git clone https://github.com/s3prl/s3prl` "
            f"and set {VARIABLE} to that folder"
        ) from None
