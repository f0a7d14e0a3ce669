"""Files of pinned commits on GitHub, from a clone or fetched: what s3prl's package leaves out; LibriMix's.

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

VARIABLE = "SUPERB_S3PRL"
"""Names a clone of s3prl's git repository, for machines that reach no network."""


@dataclass(frozen=True)
class Repository:
    """OWNER/NAME on GitHub at a commit; `variable`, if any, names a clone, and `given` says how one does."""

    name: str
    commit: str
    given: str
    variable: str = ""

    @property
    def base(self) -> str:
        """What comes before the path of a file."""
        return f"https://raw.githubusercontent.com/{self.name}/{self.commit}"

    @property
    def clone(self) -> str:
        """The command that makes one."""
        return f"git clone https://github.com/{self.name}"


S3PRL = Repository(
    "s3prl/s3prl",
    "ec8064b5889f81ca460fbe2c094ce576a6f120b7",
    f"set {VARIABLE} to that folder",
    VARIABLE,
)
"""Version 0.4.18."""

LIBRIMIX = Repository(
    "s3prl/LibriMix",
    "d569d35c6b1dd3c8d02a897a9ce1b88e82da90f9",
    "name its folder with --metadata",
)
"""s3prl's fork, as SUPERB's diarisation was prepared with it."""


@dataclass(frozen=True)
class PinnedFile:
    """One file of a repository: its path there and its git blob id (SHA-1, 40 hex digits)."""

    path: str
    blob: str
    repository: Repository = S3PRL

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


def obtain(file: PinnedFile, cache: Path, base: str = "") -> Path:
    """The file from the clone that a variable names, else from `cache`, else downloaded into `cache`.

    `base`: the address to download from, if not GitHub's.
    Raises UsageError if the clone has another version of it, and if it can neither be found nor downloaded;
    nothing half written is left behind.
    """
    of = file.repository
    clone = os.environ.get(of.variable, "").strip() if of.variable else ""
    if not clone:
        kept = cache / of.name.partition("/")[2] / file.blob[:12] / file.name
        if not kept.is_file() or blob_id(kept) != file.blob:
            _download(file, f"{base or of.base}/{file.path}", kept)
        return kept
    path = Path(clone).expanduser() / file.path
    if not path.is_file():
        raise UsageError(
            f"{of.variable} is {clone}, and {path} is not there; name the root of a clone, made with "
            f"`{of.clone}`"
        )
    found = blob_id(path)
    if found != file.blob:
        raise UsageError(
            f"{path} has the git blob id {found}, {file.blob} was expected; run `git checkout "
            f"{of.commit[:8]}` in that clone"
        )
    return path


def _download(file: PinnedFile, url: str, path: Path) -> None:
    of = file.repository
    with texts.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_path(path) as temporary:
            transfer.fetch(url, temporary, file.name)
            found = blob_id(temporary)
            if found != file.blob:
                raise UsageError(
                    f"{url} gave a file with the git blob id {found}, {file.blob} was expected: nothing "
                    f"was kept; run the same command again, or run `{of.clone}` and {of.given}"
                )
    except (OSError, HTTPException) as error:
        raise UsageError(
            f"cannot download {url} ({transfer.why(error)}); run again with a network, or elsewhere run "
            f"`{of.clone}`, check out its commit {of.commit[:8]} and {of.given}"
        ) from None
