"""Downloads of https addresses that go on where a broken connection or a kill left them."""

from __future__ import annotations

import contextlib
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from upstream_arm.common.errors import UsageError, reason

BLOCK = 1 << 20
TIMEOUT_SECONDS = 30
PAUSES: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries that bring nothing; whatever arrives begins them anew."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_WORTH_A_RETRY = frozenset({408, 429, 500, 502, 503, 504})


def is_safe(url: str) -> bool:
    """Whether an address is of https, or of http on this machine itself."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def fetch(
    url: str, part: Path, name: str, *, resume: bool = False, hashed: bool = False, expected: int = 0
) -> None:
    """Bring the whole file at `url` to `part`; a bar called `name` shows it.

    resume: go on after the bytes that `part` holds, and again after each broken connection. A file that has
    changed at its address in between (its ETag or date, kept beside `part`) is begun anew, unless its hash is
    known (`hashed`) and will tell: then it goes on at any mirror. expected: bytes, 0 where they are not
    known. OSError or HTTPException if it cannot be had, which leaves what arrived in `part`; UsageError where
    the disk is full. What arrived is not checked here: hash it.
    """
    if not is_safe(url):
        raise OSError(f"{url} is not an https address")
    pauses, answered = iter(PAUSES if resume else ()), False
    while not expected or _size(part) != expected:
        before = _size(part)
        try:
            with _answer(url, part, hashed) as answer:
                answered = True
                _copy(answer, part, name, _begin(answer, part, expected, resume))
            return
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError) and error.code == 416 and before:
                if error.headers.get("Content-Range") == f"bytes */{before}":
                    return  # all of it was here
                part.unlink()  # of another file
                continue
            worth = error.code in _WORTH_A_RETRY if isinstance(error, HTTPError) else answered
            if resume and _size(part) > before:
                pauses = iter(PAUSES)
            pause = next(pauses, None) if worth else None
            if pause is None:
                raise
            time.sleep(pause)


def forget(part: Path) -> None:
    """Remove what arrived."""
    part.unlink(missing_ok=True)
    _version_of(part).unlink(missing_ok=True)


def why(error: BaseException) -> str:
    """Why a download failed, in one short line."""
    # HTTPError's own words leave out the reason phrase of some servers.
    return f"HTTP {error.code}" if isinstance(error, HTTPError) else reason(error)


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Redirections must not leave https either."""

    def redirect_request(self, *request: Any) -> urllib.request.Request | None:
        if not is_safe(request[-1]):
            raise OSError(f"it leads to {request[-1]}, which is not an https address")
        return super().redirect_request(*request)


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _version_of(part: Path) -> Path:
    """Where the ETag or date of the file that `part` is of is kept."""
    return part.with_name(f"{part.name}.version")


def _answer(url: str, part: Path, hashed: bool) -> HTTPResponse:
    """The server's answer for what `part` lacks, or for all of the file."""
    kept, version = _size(part), _version_of(part)
    request = urllib.request.Request(url)
    if kept and (hashed or version.is_file()):
        request.add_header("Range", f"bytes={kept}-")
        if not hashed:
            request.add_header("If-Range", version.read_text("utf-8"))
    opener = urllib.request.build_opener(_CheckedRedirects)
    answer: HTTPResponse = opener.open(request, timeout=TIMEOUT_SECONDS)
    return answer


def _begin(answer: HTTPResponse, part: Path, expected: int, resume: bool) -> int:
    """Empty `part` where the server sends the file from its start; the file's bytes, 0 if it does not say."""
    kept = _size(part) if answer.status == 206 else 0
    begins = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if answer.status == 206 and begins != str(kept):
        raise OSError(f"the server began at byte {begins or '?'}, {kept} was asked for")
    announced = answer.headers.get("Content-Length") or ""
    total = kept + int(announced) if announced.isdigit() else 0
    if expected and total and total != expected:
        raise OSError(f"the server's file has {total:,} bytes, {expected:,} were expected")
    if answer.status != 206:
        tag = answer.headers.get("ETag") or "W/"
        tag = answer.headers.get("Last-Modified") or "" if tag.startswith("W/") else tag
        with _room(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            _version_of(part).unlink(missing_ok=True)
            part.write_bytes(b"")
            if tag and resume:
                _version_of(part).write_text(tag, "utf-8")
    return total or expected


def _copy(answer: HTTPResponse, part: Path, name: str, total: int) -> None:
    """Add the answer to `part`; OSError where less or more arrives than `total`, unless that is 0."""
    from tqdm import tqdm

    kept = _size(part)
    bar = tqdm(total=total or None, initial=kept, desc=name, unit="B", unit_scale=True, disable=None)
    with bar, part.open("ab", buffering=0) as file:
        while block := answer.read1(BLOCK):  # whatever has arrived, so that a kill loses none of it
            _write(file, block, part)
            bar.update(len(block))
            if 0 < total < file.tell():
                raise OSError(f"more than the {total:,} bytes arrived that were expected")
    if total and _size(part) != total:
        raise OSError(f"{_size(part):,} of {total:,} bytes arrived")


def _write(file: IO[bytes], block: bytes, part: Path) -> None:
    with _room(part):
        view = memoryview(block)
        while view:
            view = view[file.write(view) :]


@contextlib.contextmanager
def _room(part: Path) -> Iterator[None]:
    """Tells a disk that cannot be written from a connection that broke."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{part} cannot be written ({reason(error)}): make room or name another folder, then run the "
            "same command again: it goes on where it stopped"
        ) from None
