"""Corpora as they are published, on a server of this machine: archives, a sources.json, faults to order."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import loopback

from downstream_runs.corpora.fetching import sources

AGREE = "quesst14,wham"
PROJECTS = Path(sources.__file__).with_name("sources.json")


def tar_gz(path: Path, folder: Path, top: str, names: Sequence[str] = ("",)) -> Path:
    """`names` of `folder` below the name `top`, as tar.gz."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name in names:
            archive.add(folder / name, f"{top}/{name}" if name else top)
    return path


def zipped(folder: Path, top: str) -> bytes:
    """All of a folder below the name `top`, as zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(file, f"{top}/{file.relative_to(folder)}")
    return content.getvalue()


def publish(data: Path, place: Path) -> None:
    """The corpora of `data` as archives in `place`, named and laid out as their authors do."""
    libri = data / "LibriSpeech"
    for part in ("train-clean-100", "dev-clean", "test-clean"):
        tar_gz(place / f"{part}.tar.gz", libri, "LibriSpeech", (part, "DEMO.txt", "DEMO.json"))
    for name in ("speech_commands_v0.01", "speech_commands_test_set_v0.01"):
        tar_gz(place / f"{name}.tar.gz", data / name, ".")
    tar_gz(place / "quesst14Database.tgz", data / "quesst14Database", "quesst14Database")
    dev = zipped(data / "VoxCeleb1" / "dev" / "wav", "wav")
    for number, part in enumerate("abcd"):
        piece = dev[number * len(dev) // 4 : (number + 1) * len(dev) // 4]
        (place / f"vox1_dev_wav_parta{part}").write_bytes(piece)
    (place / "vox1_test_wav.zip").write_bytes(zipped(data / "VoxCeleb1" / "test" / "wav", "wav"))
    fluent = "fluent_speech_commands_dataset"
    tar_gz(place / f"{fluent}.tar.gz", data / fluent, fluent)
    (place / "SNIPS.zip").write_bytes(zipped(data / "SNIPS", "SNIPS"))
    tar_gz(place / "IEMOCAP_full_release.tar.gz", data / "IEMOCAP_full_release", "IEMOCAP_full_release")


def sources_of(
    place: Path,
    url: str,
    file: Path,
    mirrors: Sequence[str] = (),
    unpacked_gb: float = 0.05,
    *,
    all_hashed: bool = True,
) -> Path:
    """The project's sources.json with the bytes, hashes and addresses of the archives in `place`.

    all_hashed: also those of which nobody has published a hash.
    """
    listed: dict[str, Any] = json.loads(PROJECTS.read_text("utf-8"))
    for source in listed.values():
        for archive in source["archives"] if isinstance(source, dict) else ():
            archive["unpacked_gb"] = unpacked_gb
            for one in archive["files"]:
                if (place / one["name"]).is_file():
                    content = (place / one["name"]).read_bytes()
                    if all_hashed or "sha256" in one:
                        one["sha256"] = hashlib.sha256(content).hexdigest()
                    if "bytes" in one:
                        one["bytes"] = len(content)
                if "urls" in one:
                    one["urls"] = [f"{base}/{one['name']}" for base in (url, *mirrors)]
    file.write_text(json.dumps(listed))
    return file


class Publisher(ThreadingHTTPServer):
    """Serves the files of `place`; `faults` are used up one a request, by the file's name.

    A fault: `cut N` ends the connection after N bytes, `500`, `404`, `redirect URL`, `other` sends other
    bytes of that length, `longer` and `shorter` another length, `slow` a block each 20 ms, `all` ignores
    ranges, `nothing` answers with an empty body and no length.
    """

    daemon_threads = True

    def __init__(self, place: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.place = place
        self.faults: dict[str, list[str]] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(loopback.Answers):
    server: Publisher

    def answer(self, with_body: bool) -> None:
        name, wanted = self.path.rpartition("/")[2], self.headers.get("Range", "")
        self.server.asked.append(f"{name} {wanted}".strip())
        fault, _, value = (self.server.faults.get(name) or [""]).pop(0).partition(" ")
        path = self.server.place / name
        if fault in ("404", "500") or not path.is_file():
            self.send_error(int(fault) if fault else 404)
            return
        if fault == "redirect":
            self.send_response(302)
            self.send_header("Location", value)
            self.end_headers()
            return
        content = path.read_bytes()
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        if fault == "other":
            content = bytes(len(content))
        content = content + b"x" * 9 if fault == "longer" else content[:-9] if fault == "shorter" else content
        start = int(wanted.removeprefix("bytes=").rstrip("-") or 0)
        if fault == "all" or self.headers.get("If-Range", tag) != tag:
            start = 0
        if start >= len(content) > 0 and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if fault == "nothing":
            self.send_header("Connection", "close")
            self.end_headers()
            return
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self._send(content[start:], fault, value)

    def _send(self, content: bytes, fault: str, value: str) -> None:
        if fault == "cut":
            content = content[: int(value)]
            self.close_connection = True
        step = 1 << 16 if fault == "slow" else max(1, len(content))
        try:
            for begin in range(0, len(content), step):
                self.wfile.write(content[begin : begin + step])
                if fault == "slow":
                    time.sleep(0.02)
        except OSError:  # the other side was killed
            self.close_connection = True


@contextmanager
def published(place: Path) -> Iterator[Publisher]:
    """A server of the archives in `place`."""
    with loopback.serving(Publisher(place)) as server:
        yield server


def tree(folder: Path, hidden: bool = False) -> Mapping[str, str]:
    """The files below a folder and their hashes; hidden ones only if that is asked for."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and (hidden or not any(part.startswith(".") for part in path.relative_to(folder).parts))
    }
