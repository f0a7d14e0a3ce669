"""Tries the command `data` with faults and kills, and looks after each for a corpus that is not whole.

`python benchmarks/data_faults.py --place DIR --tries 200` makes the demo's Speech Commands and VoxCeleb1,
packs them as they are published, and serves them from this machine. Each try starts in an empty folder:
`data` runs with faults that are drawn (connections cut, errors, other bytes, wrong lengths, redirections, a
published archive that is bad, a disk that is full) and, in some, is killed at a random moment, more than
once. After each run every corpus must be absent or the same to the byte as the one that was packed; in the
end `data` without faults must bring all of it and leave nothing else. It prints a table by kind of try; exit
code 1 if a try failed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from downstream_runs import tasks
from downstream_runs.cli import main as cli
from downstream_runs.corpora.fetching import plan, sources
from upstream_arm.common import transfer

published = importlib.import_module("published")

WORDS, TEST = "speech_commands_v0.01.tar.gz", "speech_commands_test_set_v0.01.tar.gz"
SERVED = ("speech_commands_v0.01", "speech_commands_test_set_v0.01")
ASKED_FOR = ("VoxCeleb1/dev/wav", "VoxCeleb1/test/wav")
KINDS = (
    "kill",
    "connection",
    "connection and kill",
    "bad archive",
    "full disk",
    "small tmpfs",
    "damaged part",
)
LIMIT_S = 120


@dataclass
class Kind:
    """How the tries of one kind ended."""

    tries: int = 0
    runs: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)


def fault(source: random.Random, size: int) -> str:
    """One fault of a request."""
    return source.choice(
        (
            f"cut {source.randrange(size)}",
            f"cut {source.randrange(2000)}",
            "cut 0",
            "500",
            "404",
            "other",
            "longer",
            "shorter",
            "all",
            "nothing",
            "redirect http://example.org/away",
            "redirect file:///etc/passwd",
        )
    )


def bad_archive(source: random.Random, whole: bytes) -> bytes:
    """An archive as it should never have been published."""
    kind = source.randrange(5)
    if kind == 0:
        return whole[: source.randrange(1, len(whole))]
    if kind == 1:
        damaged = bytearray(whole)
        damaged[source.randrange(len(whole))] ^= 1 << source.randrange(8)
        return bytes(damaged)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo(("../../escaped", "_background_noise_/bomb", "_background_noise_")[kind - 2])
        member.size = 150_000_000 if kind == 3 else 0
        if kind == 4:
            member.type, member.linkname = tarfile.SYMTYPE, "../../../../etc"
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    return file.getvalue()


class Place:
    """The published archives, a server of them, and the corpora as they were packed."""

    def __init__(self, place: Path) -> None:
        demo, self.archives = place / "demo", place / "archives"
        for name in ("ks", "sid"):
            tasks.get(name).corpus.make_demo(demo)
        self.archives.mkdir(exist_ok=True)
        for name in SERVED:
            published.tar_gz(self.archives / f"{name}.tar.gz", demo / name, ".")
        whole = published.zipped(demo / "VoxCeleb1" / "dev" / "wav", "wav")
        for number, part in enumerate("abcd"):
            piece = whole[number * len(whole) // 4 : (number + 1) * len(whole) // 4]
            (self.archives / f"vox1_dev_wav_parta{part}").write_bytes(piece)
        test = published.zipped(demo / "VoxCeleb1" / "test" / "wav", "wav")
        (self.archives / "vox1_test_wav.zip").write_bytes(test)
        self.lists = [demo / "VoxCeleb1" / name for name in ("iden_split.txt", "veri_test.txt")]
        self.whole = {name: published.tree(demo / name) for name in (*SERVED, *ASKED_FOR)}
        self.words, self.url, self.seconds = (self.archives / WORDS).read_bytes(), "", 1.0

    @contextlib.contextmanager
    def served(self) -> Iterator[Connection]:
        """A server in a process of its own, which takes what is sent to it as its next faults."""
        here, there = multiprocessing.Pipe()
        server = multiprocessing.get_context("spawn").Process(target=_serve, args=(self.archives, there))
        server.start()
        try:
            self.url = here.recv()
            yield here
        finally:
            here.send(None)
            server.join()

    def publish(
        self,
        words: bytes,
        file: Path,
        pipe: Connection,
        faults: Mapping[str, list[str]],
        unpacked_gb: float = 0.05,
    ) -> None:
        """Serve these bytes as the archive of words, with the hash that fits, and these faults."""
        (self.archives / WORDS).write_bytes(words)
        sources.FILE = published.sources_of(self.archives, self.url, file, unpacked_gb=unpacked_gb)
        pipe.send(faults)
        pipe.recv()


def _serve(archives: Path, pipe: Connection) -> None:
    with published.published(archives) as server:
        pipe.send(server.url)
        while (faults := pipe.recv()) is not None:
            server.faults.clear()
            server.faults.update(faults)
            pipe.send(True)


def run(data: Path, kill_after: float | None = None, most_bytes: int = 0) -> int:
    """`data ks sid` in a process of its own: its exit code, below 0 for a signal."""
    began, process = time.monotonic(), os.fork()
    if not process:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        if most_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        code = 99
        with contextlib.suppress(BaseException):
            words = ["data", "ks", "sid", "--partial", "--data", str(data), "--out", str(data.parent / "out")]
            code = cli.main(words)
        os._exit(code)
    while (ended := os.waitpid(process, os.WNOHANG))[0] == 0:
        waited = time.monotonic() - began
        if waited > LIMIT_S or (kill_after is not None and waited > kill_after):
            os.kill(process, signal.SIGKILL)
            ended = os.waitpid(process, 0)
            break
        time.sleep(0.001)
    return os.waitstatus_to_exitcode(ended[1])


def moment(place: Place, data: Path) -> str:
    """What a killed run was at, by what it left."""
    work = data / plan.WORK
    if list(work.glob("unpacked-*")):
        return "killed unpacking"
    if list(work.glob("*.part")):
        return "killed downloading"
    return "killed checking" if all((data / name).is_dir() for name in place.whole) else "killed between"


def spoilt(place: Place, data: Path) -> str:
    """The first corpus that is there and not whole; empty if there is none."""
    for name, whole in place.whole.items():
        if (data / name).exists() and published.tree(data / name) != whole:
            return f"{name} is there and not whole"
    if list(data.parent.parent.glob("escaped")) or list(data.parent.glob("escaped")):
        return "a file lies outside"
    return ""


@contextlib.contextmanager
def tmpfs(data: Path, megabytes: float) -> Iterator[bool]:
    """A file system of that size at `data`, where this may be done; none for 0."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1e6)}", "none", str(data)]
    done = bool(megabytes) and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", str(data)], check=True)


def one_try(
    place: Place, pipe: Connection, kind: str, source: random.Random, folder: Path, found: Kind
) -> str:
    """One try in an empty folder; what was wrong, or nothing."""
    data = folder / "data"
    data.mkdir(parents=True)
    with tmpfs(data, source.uniform(2.5, 9) if kind == "small tmpfs" else 0) as small:
        (data / plan.SHELF).mkdir()
        for path in place.archives.glob("vox1*"):
            (data / plan.SHELF / path.name).symlink_to(path)
        for path in place.lists:
            shutil.copy(path, data)
        wrong = hurt(place, pipe, kind, source, data, small, found)
        if wrong:
            return wrong
        if kind == "damaged part":
            part = data / plan.WORK / f"{WORDS}.part"
            shutil.rmtree(data / SERVED[0], ignore_errors=True)
            part.write_bytes(source.randbytes(source.randrange(1, len(place.words))))
        if small:
            subprocess.run(["mount", "-o", "remount,size=200m", str(data)], check=True)
        place.publish(place.words, folder / "sources.json", pipe, {})
        code, wrong = run(data), spoilt(place, data)
        found.runs += 1
        absent = [name for name in place.whole if not (data / name).is_dir()]
        left = sorted(path.name for path in (data / plan.WORK).iterdir())
        if wrong or code or absent or left != ["SHA256SUMS", "agreed.json", "lock"]:
            return f"in the end: {wrong}, exit {code}, absent {absent}, left {left}"
    return ""


def hurt(
    place: Place, pipe: Connection, kind: str, source: random.Random, data: Path, small: bool, found: Kind
) -> str:
    """The runs of a try that something happens to; what was wrong, or nothing."""
    words = bad_archive(source, place.words) if kind == "bad archive" else place.words
    faults = {
        name: [
            "slow"
            if "kill" in kind and source.random() < 0.5
            else fault(source, (place.archives / name).stat().st_size)
            for _ in range(source.randrange(1, 5))
        ]
        for name in (WORDS, TEST)
        if "connection" in kind
    }
    # What an archive is said to unpack to; next to nothing, so that a small disk is not refused before.
    place.publish(words, data.parent / "sources.json", pipe, faults, 0.002 if small else 0.05)
    limited = kind == "full disk" or (kind == "small tmpfs" and not small)
    for _ in range(source.randrange(1, 4) if "kill" in kind else 1):
        kill_after = source.uniform(0, place.seconds) if "kill" in kind else None
        code = run(data, kill_after, source.randrange(1, 2_500_000) if limited else 0)
        found.runs += 1
        found.ends[moment(place, data) if code < 0 else f"exit {code}"] += 1
        if code not in (0, 2, -signal.SIGKILL):
            return f"ended with {code}"
        if wrong := spoilt(place, data):
            return f"{wrong} after exit {code}"
        if code == 0 and words != place.words:
            return "a bad archive was taken"
    return ""


def table(kinds: Mapping[str, Kind]) -> Iterator[str]:
    """The table, a row a kind of try."""
    yield "| kind of try | tries | runs of `data` | how the hurt ones ended | half-made taken for whole |"
    yield "| --- | ---: | ---: | --- | ---: |"
    for name, kind in kinds.items():
        ends = ", ".join(f"{end} {number}" for end, number in sorted(kind.ends.items()))
        yield f"| {name} | {kind.tries} | {kind.runs} | {ends} | {len(kind.bad)} |"
    tries, runs = (sum(getattr(kind, what) for kind in kinds.values()) for what in ("tries", "runs"))
    yield f"| all | {tries} | {runs} | | {sum(len(kind.bad) for kind in kinds.values())} |"


def main(argv: list[str] | None = None) -> int:
    """Try, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--place", type=Path, required=True, help="a folder of its own")
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    options.place.mkdir(parents=True, exist_ok=True)
    os.environ["no_proxy"] = "*"
    transfer.PAUSES, plan.SPARE_BYTES = (0.01, 0.02), 0
    place = Place(options.place)
    kinds = {name: Kind() for name in KINDS}
    with place.served() as pipe:
        began = time.monotonic()
        one_try(place, pipe, "", random.Random(0), options.place / "try", Kind())
        place.seconds = time.monotonic() - began  # of two undisturbed runs: kills fall in this time
        for number in range(options.tries):
            name, folder = KINDS[number % len(KINDS)], options.place / "try"
            shutil.rmtree(folder, ignore_errors=True)
            kinds[name].tries += 1
            source = random.Random(f"{options.seed} {number}")
            if wrong := one_try(place, pipe, name, source, folder, kinds[name]):
                kinds[name].bad.append(wrong)
                print(f"try {number}, {name}: {wrong}", flush=True)
    print("\n".join(table(kinds)))
    return 1 if any(kind.bad for kind in kinds.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
