"""Corpora that were decoded as a whole: a manifest of each file's length and checksum, kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.audio import mixtures
from downstream_runs.core.corpus import PreparedData, Problem
from downstream_runs.corpora import audio, texts
from downstream_runs.corpora.audio import AudioFile


@dataclass(frozen=True)
class Verified:
    """What was found: files that are good, those that have changed since they were first, and what is wrong.

    sha256: over the names and checksums of all files, where nothing is wrong.
    """

    files: int
    changed: Sequence[str]
    problems: Sequence[Problem]
    sha256: str


def table_of(root: Path, cache: Path) -> Path:
    """The manifest of a corpus: a line `SAMPLES-SHA256 SIZE CHANGED_NS NAME` a file."""
    return cache / "verified" / f"{root.name}-{texts.digest([str(root)])[:12]}.txt"


def files_of(data: PreparedData) -> list[AudioFile]:
    """The corpus' audio, each file once."""
    return [AudioFile.at(path, data.root) for path in sorted(set(data.audio))]


def verify(data: PreparedData, cache: Path) -> Verified:
    """Decode what the manifest does not know, on all cores, and add it."""
    files, table = files_of(data), table_of(data.root, cache)
    before = {key.split(" ", 2)[2]: word for key, word in audio.remembered(table).items()}
    words, problems = audio.remember(files, _decoded, table, f"decode {data.root.name}")
    changed = [name for name, word in words.items() if before.get(name, word) != word]
    digest = hashlib.sha256("".join(f"{name} {words[name]}\n" for name in sorted(words)).encode())
    return Verified(len(words), changed, problems, "" if problems else digest.hexdigest())


def is_verified(data: PreparedData, cache: Path) -> bool:
    """Whether all files were decoded and have the same sizes and times of change since."""
    known = audio.remembered(table_of(data.root, cache))
    return bool(known) and all(file.key in known for file in files_of(data))


def _decoded(path: Path) -> str:
    samples = audio.form(path, decoded=True).samples
    with mixtures.opened(path) as file:
        return f"{samples}-{texts.digest([file.read()])}"
