"""Bringing a corpus: its archive is downloaded, held against its checksum, unpacked apart, and moved.

A corpus' folder appears by one rename, when all of it is written: whatever is killed before leaves only files
in the hidden folder `WORK`, which the next start goes on with or removes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from downstream_runs.corpora import texts
from downstream_runs.corpora.fetching import archives
from downstream_runs.corpora.fetching.archives import BadArchive
from downstream_runs.corpora.fetching.linking import require_own
from downstream_runs.corpora.fetching.plan import SHELF, WORK, Step
from downstream_runs.corpora.fetching.sources import Archive, File
from upstream_arm.common import transfer
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text, sha256_file
from upstream_arm.common.stages import stage

SUMS = "SHA256SUMS"
"""The hashes of the archives that came here, by their names, as `sha256sum` writes them."""
_UNPACKED = "unpacked-"
_DEPTH = 3
"""Folders of an archive in which a corpus' own folder may lie."""
_MOST = 2
"""An archive may unpack to so many times what is estimated for it."""


def left(data: Path, every: Sequence[Step]) -> list[Path]:
    """What a kill has left: whatever was half unpacked, and archives whose content is in its place."""
    names = [file.name for step in every if step.state == "there" for file in step.archive.files]
    patterns = [f"{_UNPACKED}*", ".*.tmp", *(f"{name}*" for name in names)]
    return [path for pattern in patterns for path in (data / WORK).glob(pattern)]


def remove(paths: Sequence[Path]) -> None:
    """Remove files, and folders with what is in them."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def bring(step: Step, data: Path) -> None:
    """Do one step; UsageError if the archive cannot be had or is another one.

    An archive that was downloaded is removed when its content is in its place, or cannot be; one that a
    person has put there stays.
    """
    work, paths = data / WORK, step.paths
    place = data / step.archive.place.to
    require_own(place, data)
    if place.is_symlink():
        raise UsageError(
            f"{place} is a link to {place.readlink()}, which is not there: mount it, or "
            "remove the link to fetch the corpus"
        )
    if step.state == "to fetch":
        paths = [fetched(file, work) for file in step.archive.files]
    else:
        known = {file.name: file for file in step.archive.files}
        for path in paths:
            with stage(f"checksum of {path.name}"):
                found = sha256_file(path)
            _require_hash(known.get(path.name, File(path.name)), found, path, work)
    with texts.writing(data):
        try:
            _unpack(step.archive, paths, data)
        except BadArchive:
            _forget_hashes([path.name for path in paths], work)
            if step.state == "to fetch":
                for path in paths:
                    path.unlink()
            raise
        if step.state == "to fetch":
            for path in paths:
                path.unlink()


def fetched(file: File, work: Path) -> Path:
    """The file in `work`, downloaded unless it is there: it has this name once its checksum was right."""
    path, part, reasons = work / file.name, work / f"{file.name}.part", []
    if path.is_file():
        return path
    # A part that is spoilt already is found out at the end: then all of it is fetched once more.
    again = file.urls[:1] if part.is_file() else ()
    for url in (*file.urls, *again):
        host = urlsplit(url).hostname
        try:
            transfer.fetch(url, part, file.name, resume=True, hashed=bool(file.sha256), expected=file.bytes)
            with stage(f"checksum of {file.name}"):
                _require_hash(file, sha256_file(part), part, work)
        except (OSError, HTTPException) as error:
            reasons.append(f"{host}: {transfer.why(error)}")
        except WrongHash as error:
            reasons.append(f"{host}: {error}")
            transfer.forget(part)
        else:
            os.replace(part, path)
            transfer.forget(part)
            return path
    raise UsageError(
        f"{file.name} cannot be fetched ({'; '.join(dict.fromkeys(reasons))}); run the same command again "
        f"with a network, which goes on where it stopped, or put the file into {work.parent / SHELF}"
    )


class WrongHash(UsageError):
    """Another file than the one that was expected."""


def _require_hash(file: File, found: str, path: Path, work: Path) -> None:
    """WrongHash unless the file has its published SHA-256, or else the one that it had when it came first."""
    listed = _hashes(work)
    expected = file.sha256 or listed.get(file.name, found)
    if found != expected:
        what = "is published" if file.sha256 else f"it had when it came first ({work / SUMS})"
        raise WrongHash(f"{path} has the SHA-256 {found}, {expected} {what}: get it again")
    _write_hashes({**listed, file.name: found}, work)


def _hashes(work: Path) -> dict[str, str]:
    lines = (work / SUMS).read_text("utf-8").splitlines() if (work / SUMS).is_file() else []
    return {name: found for found, _, name in (line.partition("  ") for line in lines)}


def _write_hashes(hashes: Mapping[str, str], work: Path) -> None:
    atomic_write_text(work / SUMS, "".join(f"{found}  {name}\n" for name, found in hashes.items()))


def _forget_hashes(names: Sequence[str], work: Path) -> None:
    _write_hashes({name: found for name, found in _hashes(work).items() if name not in names}, work)


def _unpack(archive: Archive, paths: Sequence[Path], data: Path) -> None:
    """Unpack the archive and move the corpus' folder, and files that lie beside it, to their places."""
    target, place = data / WORK / f"{_UNPACKED}{archive.name}", data / archive.place.to
    try:
        archives.unpack(paths, target, round(archive.unpacked_gb * 1e9) * _MOST, f"unpack {archive.name}")
        taken = archive.place.found(target, _DEPTH)
        if taken is None:
            there = ", ".join(sorted(path.name for path in target.iterdir())[:5]) or "nothing"
            raise BadArchive(
                f"{paths[0]} holds {there}, a folder with {' or '.join(archive.place.holds)} was expected: "
                "it is another archive, or not a whole one"
            )
        with stage(f"writing {archive.place.to} to the disk"):
            os.sync()
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.parent != data and taken != target:
            beside = [path for path in taken.parent.iterdir() if path.is_file()]  # terms, lists of speakers
            for file in beside:
                if not (place.parent / file.name).exists():
                    file.rename(place.parent / file.name)
        taken.rename(place)
    finally:
        shutil.rmtree(target, ignore_errors=True)
