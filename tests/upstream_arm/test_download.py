"""Downloads, against a server on this machine that answers as the hub does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import loopback
import pytest

from upstream_arm import download
from upstream_arm.common.errors import UpstreamError

# The hub client keeps what arrived in blocks of 10 MiB.
BLOCK = 10 << 20
CONTENT = bytes(range(256)) * (3 * BLOCK // 512)
FILE = "/sungnyun/ARMHuBERT/resolve/main/ARMHuBERT-960h.ckpt"


class Hub(ThreadingHTTPServer):
    """Serves CONTENT at FILE and /file; /gone is not there, /cut stops short, /away leaves https."""

    daemon_threads = True
    log: list[str]
    cuts: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(loopback.Answers):
    server: Hub

    def answer(self, with_body: bool) -> None:
        asked = self.headers.get("Range", "")
        self.server.log.append(f"{self.command} {self.path} {asked}".strip())
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://example.org/file")
            self.end_headers()
            return
        if self.path not in (FILE, "/file", "/cut"):
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked.startswith("bytes=") else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        if not with_body:
            return
        if self.path == "/cut" or self.server.cuts > 0:
            self.server.cuts -= 1
            self.wfile.write(CONTENT[start : BLOCK + BLOCK // 4])
            self.close_connection = True
        else:
            self.wfile.write(CONTENT[start:])


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub(("127.0.0.1", 0), Handler)
    server.log, server.cuts = [], 0
    with loopback.serving(server):
        yield server


def fetch(name: str, endpoint: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The hub client reads its settings once, when imported: so another process."""
    root = Path(__file__).resolve().parents[2]
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("HF_", "HUGGING")) and not key.lower().endswith("_proxy")
    }
    return subprocess.run(
        [sys.executable, "-m", "upstream_arm", "fetch", name],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=root,
        env={**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), **environment},
    )


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2 and not done.stdout
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


class TestReleased:
    def test_interrupted_download_goes_on_and_is_cached(self, hub: Hub, tmp_path: Path) -> None:
        hub.cuts = 1
        done = fetch("arm_hubert", hub.url, tmp_path)
        assert done.returncode == 0, done.stderr
        path = Path(done.stdout.strip())
        assert path.name == "ARMHuBERT-960h.ckpt" and path.read_bytes() == CONTENT
        assert path.is_relative_to(tmp_path / "hub")
        assert hub.log[-1] == f"GET {FILE} bytes={BLOCK}-"
        requests = len(hub.log)
        again = fetch("armhubert", hub.url, tmp_path, HF_HUB_OFFLINE="1")
        assert Path(again.stdout.strip()) == path
        assert len(hub.log) == requests

    def test_not_on_the_hub(self, hub: Hub, tmp_path: Path) -> None:
        line = one_sentence(fetch("maskhubert", hub.url, tmp_path))
        assert "MaskHuBERT-960h.ckpt cannot be downloaded" in line
        assert f"{hub.url}/sungnyun/ARMHuBERT/resolve/main/MaskHuBERT-960h.ckpt" in line
        assert "--ckpt FILE" in line and "maskhubert_local(ckpt=FILE)" in line

    # The hub client tries for a while before it gives up.
    @pytest.mark.parametrize("offline", [pytest.param("0", marks=pytest.mark.slow), "1"])
    def test_no_network(self, tmp_path: Path, offline: str) -> None:
        done = fetch("armhubert", "http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE=offline)
        assert "armhubert_local(ckpt=FILE)" in one_sentence(done)
        # What it asks for, and why it cannot be had: nothing of the hub client's own.
        assert len(done.stderr.strip().splitlines()) == 2, done.stderr

    def test_unknown_name(self) -> None:
        with pytest.raises(UpstreamError, match="did you mean"):
            download.released_file("armhubert_s_960")
        with pytest.raises(UpstreamError, match="no released checkpoint 'armhubert_random'"):
            download.fetch("armhubert_random")


class TestUrl:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        return tmp_path / "superb-arm"

    def test_downloads_once(self, hub: Hub, cache: Path) -> None:
        path = download.fetch_url(f"{hub.url}/file")
        assert path.parent == cache and path.read_bytes() == CONTENT
        assert download.fetch_url(f"{hub.url}/file") == path
        assert hub.log == ["GET /file"]

    @pytest.mark.parametrize("where", ["/cut", "/gone", "/away"])
    def test_nothing_half_written(self, hub: Hub, cache: Path, where: str) -> None:
        with pytest.raises(UpstreamError) as caught:
            download.fetch_url(hub.url + where)
        assert "\n" not in str(caught.value)
        assert not list(cache.iterdir())

    def test_no_password(self, cache: Path) -> None:
        with pytest.raises(UpstreamError, match=r"the address at example\.org holds a user name") as caught:
            download.fetch_url("https://someone:secret@example.org/a.ckpt")
        assert "secret" not in str(caught.value) and not cache.exists()

    @pytest.mark.parametrize(
        "url", ["http://example.org/a.ckpt", "file:///etc/passwd", "ftp://example.org/a", "a.ckpt"]
    )
    def test_only_https(self, url: str, cache: Path) -> None:
        with pytest.raises(UpstreamError, match="not an https address"):
            download.fetch_url(url)
        assert not cache.exists()
