"""Corpora that were decoded as a whole: a manifest of each file's length and checksum, kept in the cache.

A start takes a file as decoded while its size and time of change are those of the manifest. One that has
changed since, and one that was damaged, is decoded before anything else is done.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from downstream_runs.audio import mixtures
from downstream_runs.core.corpus import Problem
from downstream_runs.corpora import audio, texts
from downstream_runs.corpora.audio import AudioFile
from upstream_arm.common.files import atomic_write_text
from upstream_arm.common.program import PROGRAM

HEAD = "verified-2"
"""With which the line `verified-2 DAY ROOT` begins that each session of decoding writes first."""

DAMAGED = "damaged"
"""In place of length and checksum, where a file could not be decoded."""


@dataclass(frozen=True)
class Verified:
    """What was found: files that are good, those that have changed since they were first, and what is wrong.

    sha256: over the names and checksums of all files, where nothing is wrong.
    """

    files: int
    changed: Sequence[str]
    problems: Sequence[Problem]
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What is known of the files below `root`, by `SIZE CHANGED_NS NAME`; without `days` nothing is.

    table: a line `SAMPLES-SHA256 SIZE CHANGED_NS NAME` a file, after the `HEAD` of its session. words: of the
    files that were decoded. damaged: of those that could not be. days: of the first and the last session.
    """

    root: Path
    table: Path
    words: Mapping[str, str] = field(default_factory=dict)
    damaged: Collection[str] = ()
    days: tuple[str, ...] = ()

    def named(self, file: AudioFile) -> AudioFile:
        """The file as the manifest calls it: by its path below the root, or by all of it elsewhere."""
        # As texts: pathlib would take seconds for VoxCeleb1.
        return replace(file, name=os.fspath(file.path).removeprefix(f"{self.root}/"))

    def trusts(self, file: AudioFile) -> bool:
        """Whether it was decoded, and has the same size and time of change since."""
        name = os.fspath(file.path).removeprefix(f"{self.root}/")
        return f"{file.size} {file.changed_ns} {name}" in self.words

    def changed(self, files: Sequence[AudioFile]) -> list[AudioFile]:
        """Those of another size or time than when they were decoded, and those that could not be."""
        others = [self.named(file) for file in files if not self.trusts(file)] if self.days else []
        names = {_name(key) for key in (*self.words, *self.damaged)} if others else set()
        return list({file.name: file for file in others if file.name in names}.values())


def table_of(root: Path, cache: Path) -> Path:
    """Where the manifest of a corpus is."""
    return cache / "verified" / f"{root.name}-{texts.digest([str(root)])[:12]}.txt"


def read(root: Path, cache: Path) -> Manifest:
    """The manifest of a corpus; one of another corpus or form is none, and that is said once."""
    table = table_of(root, cache)
    lines = [line for line in audio.lines_of(table) if line]
    others = [line.split(" ", 2) for line in lines if not line[0].isdigit()]
    days = [fields[1] for fields in others if fields[0] == HEAD and fields[2:] == [str(root)]]
    if not days:
        if table.exists():
            _say_ignored(table)
        return Manifest(root, table)
    damaged = {" ".join(fields[1:]) for fields in others if fields[0] == DAMAGED and len(fields) == 3}
    return Manifest(root, table, audio.words_of(lines), damaged, tuple(dict.fromkeys((days[0], days[-1]))))


def verify(root: Path, paths: Sequence[Path], cache: Path) -> Verified:
    """Decode what the manifest of the corpus does not know, on all cores, and add it."""
    manifest = read(root, cache)
    return _verify(manifest, [manifest.named(AudioFile.at(path)) for path in dict.fromkeys(paths)])


def decoded_on(root: Path, paths: Sequence[Path], cache: Path) -> tuple[str, ...]:
    """The days between which all of these files were decoded; none if one was not, or has changed since."""
    manifest = read(root, cache)
    good = manifest.days and all(manifest.trusts(AudioFile.at(path)) for path in paths)
    return manifest.days if good else ()


def renewed(
    root: Path, files: Sequence[AudioFile], cache: Path | None
) -> tuple[Manifest, Sequence[AudioFile], Sequence[Problem]]:
    """The manifest, after what has changed and what was damaged was decoded; these files; what is wrong."""
    manifest = Manifest(root, Path()) if cache is None else read(root, cache)
    changed = manifest.changed(files)
    if cache is None or not changed:
        return manifest, (), ()
    print(
        f"{root}: decoding {len(changed):,} of {len(files):,} files: damaged, or of another size or time "
        "than when they were verified",
        file=sys.stderr,
    )
    found = _verify(manifest, changed)
    if found.changed:
        others = f" (and {len(found.changed) - 1:,} more files)" * (len(found.changed) > 1)
        print(f"{root}: {found.changed[0]} has changed since it was verified{others}", file=sys.stderr)
    return read(root, cache), changed, found.problems


def _verify(manifest: Manifest, files: Sequence[AudioFile]) -> Verified:
    if not all(file.key in manifest.words for file in files):
        _begin(manifest)
    root, before = manifest.root, {_name(key): word for key, word in manifest.words.items()}
    words, problems = audio.remember(files, _decoded, manifest.table, f"decode {root.name}", DAMAGED)
    changed = [name for name, word in words.items() if before.get(name, word) != word]
    digest = hashlib.sha256("".join(f"{name} {words[name]}\n" for name in sorted(words)).encode())
    return Verified(len(words), changed, problems, "" if problems else digest.hexdigest())


def _begin(manifest: Manifest) -> None:
    """The first line of a session; what is no manifest of this corpus makes room for one."""
    line = f"{HEAD} {datetime.now(timezone.utc).date().isoformat()} {manifest.root}\n"
    with texts.writing(manifest.table):
        if manifest.days or not manifest.table.exists():
            manifest.table.parent.mkdir(parents=True, exist_ok=True)
            with manifest.table.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}")
        else:
            atomic_write_text(manifest.table, line)


@functools.cache
def _say_ignored(table: Path) -> None:
    print(
        f"{table} is ignored: it is of another corpus, of another version or cut off; "
        f"`{PROGRAM} data --verify` begins it anew",
        file=sys.stderr,
    )


def _name(key: str) -> str:
    return key.split(" ", 2)[2]


def _decoded(path: Path) -> str:
    samples = audio.form(path, decoded=True).samples
    with mixtures.opened(path) as file:
        return f"{samples}-{texts.digest([file.read()])}"
