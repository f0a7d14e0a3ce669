"""Downloads that go on: against a server of this machine that breaks off, lies, and sends elsewhere."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import published
import pytest
from published import Publisher

from upstream_arm.common import transfer
from upstream_arm.common.errors import UsageError

CONTENT = os.urandom(100_000)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(transfer, "PAUSES", (0.0, 0.0))
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "file").write_bytes(CONTENT)
    with published.published(tmp_path / "place") as server:
        yield server


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "work" / "file.part"


def fetch(server: Publisher, part: Path, hashed: bool = True, expected: int = len(CONTENT)) -> bytes:
    transfer.fetch(f"{server.url}/file", part, "file", resume=True, hashed=hashed, expected=expected)
    return part.read_bytes()


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("expected", [len(CONTENT), 0])
@pytest.mark.parametrize(
    "faults",
    [
        ["cut 30000"],
        ["cut 30000", "cut 10", "cut 1", "cut 20000", "cut 5"],
        ["500", "cut 99", "500"],
        ["cut 50", "all"],
        ["cut 0", "cut 0"],
        ["cut 100", "cut 0"],
    ],
    ids=str,
)
def test_what_breaks_off_goes_on(
    server: Publisher, part: Path, faults: list[str], expected: int, hashed: bool
) -> None:
    server.faults["file"] = list(faults)
    assert fetch(server, part, hashed, expected) == CONTENT
    assert not server.faults["file"]


def test_only_what_is_missing_is_asked_for(server: Publisher, part: Path) -> None:
    server.faults["file"] = ["cut 30000"]
    fetch(server, part)
    assert server.asked == ["file", "file bytes=30000-"]
    fetch(server, part)  # all of it is there
    assert len(server.asked) == 2
    fetch(server, part, hashed=False, expected=0)  # the server says so
    assert server.asked[2:] == ["file bytes=100000-"]


def test_another_file_at_the_address_is_begun_anew(server: Publisher, part: Path) -> None:
    server.faults["file"] = ["cut 30000", "404"]
    with pytest.raises(OSError):
        fetch(server, part, hashed=False)
    other = os.urandom(len(CONTENT))
    (server.place / "file").write_bytes(other)
    assert fetch(server, part, hashed=False) == other
    (server.place / "file").write_bytes(other[:50])
    transfer.forget(part)
    part.write_bytes(CONTENT)
    assert fetch(server, part, hashed=True, expected=0) == other[:50]


@pytest.mark.parametrize(
    ("faults", "what", "kept"),
    [
        (["cut 30000"] + ["cut 0"] * 9, "Connection|bytes arrived|more expected|IncompleteRead", 30_000),
        (["cut 30000"] + ["500"] * 9, "500", 30_000),
        (["404"], "404", None),
        (["longer"] * 9, "100,009 bytes, 100,000 were expected", None),
        (["shorter"] * 9, "99,991 bytes, 100,000 were expected", None),
        (["nothing"] * 9, "0 of 100,000 bytes", 0),
        (["redirect http://example.org/file"], "leads to http://example.org/file, which is not", None),
        (["redirect file:///etc/passwd"], "is not allowed", None),
        (["redirect ftp://127.0.0.1/x"], "not an https address", None),
    ],
    ids=str,
)
def test_what_cannot_be_had_leaves_only_what_arrived(
    server: Publisher, part: Path, faults: list[str], what: str, kept: int | None
) -> None:
    server.faults["file"] = faults
    with pytest.raises((OSError, HTTPException), match=what) as caught:
        fetch(server, part)
    assert "\n" not in transfer.why(caught.value) and len(transfer.why(caught.value)) < 200
    assert (part.stat().st_size if part.exists() else None) == kept


@pytest.mark.parametrize("url", ["http://example.org/a", "file:///etc/passwd", "ftp://example.org/a", "a"])
def test_only_https(url: str, part: Path) -> None:
    with pytest.raises(OSError, match="not an https address"):
        transfer.fetch(url, part, "a")
    assert not part.parent.exists()


def test_without_a_server_nothing_is_waited_for(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSES", (100.0,))
    monkeypatch.setenv("no_proxy", "*")
    part.parent.mkdir()
    part.write_bytes(b"kept")
    with pytest.raises(OSError, match="refused"):
        transfer.fetch("http://127.0.0.1:9/file", part, "file", resume=True, hashed=True)
    assert part.read_bytes() == b"kept"


def test_a_disk_that_takes_no_more_keeps_what_arrived(server: Publisher, part: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        with pytest.raises(UsageError, match=r"part cannot be written .*it goes on where it stopped"):
            fetch(server, part)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert part.read_bytes() == CONTENT[:40_000]
    assert fetch(server, part) == CONTENT
