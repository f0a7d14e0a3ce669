"""Pinned files of s3prl: from a clone, from the cache, from a server on this machine."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
from collections.abc import Iterator
from pathlib import Path

import loopback
import pytest

from downstream_runs.corpora import pinned
from downstream_runs.corpora.pinned import PinnedFile, blob_id, obtain
from upstream_arm.common.errors import UsageError

CONTENT = b"HELLO HH AH0 L OW1\n"
# `printf 'HELLO HH AH0 L OW1\n' | git hash-object --stdin`
FILE = PinnedFile("a/folder/words.txt", "fb515e6e0b435a10dfea833166a620e7ca3b0df7")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the server's `body`, cut after `sent` bytes."""

    def do_GET(self) -> None:
        server = self.server
        server.asked.append(self.path)
        if server.body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body[: server.sent])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.HTTPServer]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(pinned.VARIABLE, raising=False)
    running = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    running.asked, running.body, running.sent = [], CONTENT, None
    with loopback.serving(running):
        yield running


def base(server: http.server.HTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}/commit"


def everything(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_id_is_gits(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(CONTENT)
    with contextlib.suppress(FileNotFoundError):
        done = subprocess.run(["git", "hash-object", str(path)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == blob_id(path)
    assert blob_id(path) == FILE.blob


def test_downloaded_once(server: http.server.HTTPServer, tmp_path: Path) -> None:
    path = obtain(FILE, tmp_path, base(server))
    assert path.read_bytes() == CONTENT and path.name == "words.txt"
    assert obtain(FILE, tmp_path, base(server)) == path
    assert server.asked == ["/commit/a/folder/words.txt"]
    path.write_bytes(b"spoilt")
    assert obtain(FILE, tmp_path, base(server)).read_bytes() == CONTENT


def test_other_content_is_refused(server: http.server.HTTPServer, tmp_path: Path) -> None:
    server.body = b"<html>please log in</html>"
    with pytest.raises(UsageError, match=f"{FILE.blob} was expected"):
        obtain(FILE, tmp_path, base(server))
    assert everything(tmp_path) == []


def test_a_cut_download_leaves_nothing_and_the_next_one_works(
    server: http.server.HTTPServer, tmp_path: Path
) -> None:
    server.sent = 5
    with pytest.raises(UsageError, match=f"cannot download|{FILE.blob} was expected"):
        obtain(FILE, tmp_path, base(server))
    assert everything(tmp_path) == []
    server.sent = None
    assert obtain(FILE, tmp_path, base(server)).read_bytes() == CONTENT


def test_without_the_file_or_a_network_one_sentence_says_what_to_do(
    server: http.server.HTTPServer, tmp_path: Path
) -> None:
    server.body = None
    with pytest.raises(UsageError, match=r"HTTP 404.*git clone .*SUPERB_S3PRL"):
        obtain(FILE, tmp_path, base(server))
    with pytest.raises(UsageError, match=r"words.txt.*git clone .*SUPERB_S3PRL") as caught:
        obtain(FILE, tmp_path, "http://127.0.0.1:9")
    assert "\n" not in str(caught.value)
    assert everything(tmp_path) == []


def test_a_clone_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / "clone"
    monkeypatch.setenv(pinned.VARIABLE, str(clone))
    with pytest.raises(UsageError, match="root of a clone"):
        obtain(FILE, tmp_path / "cache", "http://127.0.0.1:9")
    (clone / "a" / "folder").mkdir(parents=True)
    (clone / FILE.path).write_bytes(CONTENT)
    assert obtain(FILE, tmp_path / "cache", "http://127.0.0.1:9") == clone / FILE.path
    (clone / FILE.path).write_bytes(b"later version")
    with pytest.raises(UsageError, match="git checkout ec8064b5"):
        obtain(FILE, tmp_path / "cache", "http://127.0.0.1:9")
