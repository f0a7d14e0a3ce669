"""A server on this machine that answers as the Hugging Face hub does, as far as its client asks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import loopback
import pytest


@dataclass
class Repository:
    """Commits with their files, and the branches and tags that point to them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, files: Mapping[str, bytes], ref: str = "main") -> str:
        """A new commit of these files, to which `ref` moves."""
        name = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[name] = dict(files)
        self.refs[ref] = name
        return name


class Hub(ThreadingHTTPServer):
    """log: a line for each request. cuts: how often a file of more than 11 MB is cut after 11 MB."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.log: list[str] = []
        self.cuts = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Of a process that takes this for the hub, with a cache of its own."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("HF_", "HUGGING")) and not key.lower().endswith("_proxy")
        }
        return {**kept, "HF_ENDPOINT": self.url, "HF_HOME": str(home), **more}

    def asked(self, name: str) -> list[str]:
        """The requests for the content of a file."""
        return [line for line in self.log if line.startswith("GET") and name in line]

    def use(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        """Have this process take this for the hub; the client reads its environment when it is imported."""
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        template = self.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")


class _Handler(loopback.Answers):
    server: Hub

    def answer(self, with_body: bool) -> None:
        asked, path = self.headers.get("Range", ""), urlsplit(self.path).path
        self.server.log.append(f"{self.command} {path} {asked}".strip())
        api = path.startswith("/api/models/")
        words = path.removeprefix("/api/models").strip("/").split("/")
        repository = self.server.repositories.get("/".join(words[:2]))
        if repository is None:
            return self._refuse(404, "RepoNotFound")
        if repository.gated:
            return self._refuse(403, "GatedRepo")
        revision = words[3] if len(words) > 3 else "main"
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            return self._refuse(404, "RevisionNotFound")
        files = repository.commits[commit]
        if api:
            tree = [{"type": "file", "path": name, "oid": "0", "size": len(files[name])} for name in files]
            return self._send(json.dumps(tree).encode(), commit, with_body)
        name = "/".join(words[4:])
        if name not in files:
            return self._refuse(404, "EntryNotFound", commit)
        self._send(files[name], commit, with_body, asked)

    def _refuse(self, status: int, code: str, commit: str | None = None) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        if commit is not None:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, commit: str, with_body: bool, asked: str = "") -> None:
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked.startswith("bytes=") else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if with_body and self.server.cuts > 0 and len(content) > 11_000_000:
            self.server.cuts -= 1
            self.wfile.write(content[start:11_000_000])
            self.close_connection = True
        elif with_body:
            self.wfile.write(content[start:])


@contextmanager
def running() -> Iterator[Hub]:
    """The server, until the block ends."""
    with loopback.serving(Hub()) as server:
        yield server
