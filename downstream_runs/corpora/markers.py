"""What a corpus is beside the official one: made, with marks in its folder, or a part of it.

A made corpus carries `DEMO.txt` or `SAMPLE.txt`, in words, from the moment its making begins, and
`DEMO.json` or `SAMPLE.json`, the list of its files with their hashes, once it is whole. A corpus without
marks is held against the official counts, and one that has others is used only where that was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text, read_json, sha256_file


@dataclass(frozen=True)
class Mark:
    """One kind of made corpus: the label that its numbers carry and the stem of its two files."""

    label: str
    stem: str

    def notice(self, root: Path) -> Path:
        """The file that says in words what the folder is."""
        return root / f"{self.stem}.txt"

    def manifest(self, root: Path) -> Path:
        """The file that lists the corpus and marks it as whole."""
        return root / f"{self.stem}.json"


DEMO = Mark("demo", "DEMO")
SAMPLE = Mark("sample", "SAMPLE")
MARKS: tuple[Mark, ...] = (DEMO, SAMPLE)

OPTION = "--partial"
"""What allows a part of a corpus, or recordings of one's own in its layout."""


def marks(root: Path) -> tuple[Mark, ...]:
    """The marks that a corpus root carries; a corpus of which only half was made carries its mark too."""
    return tuple(mark for mark in MARKS if mark.notice(root).is_file() or mark.manifest(root).is_file())


def labels(root: Path) -> tuple[str, ...]:
    """`("demo",)` for synthetic speech, `("sample",)` for a few real utterances, `()` for anything else.

    `root` is a corpus root as `find_root` returns it. Every number measured on it has to carry these labels.
    """
    return tuple(mark.label for mark in marks(root))


def deviations(root: Path) -> tuple[str, ...]:
    """What a made corpus says that its splits hold instead of the official ones, a sentence each."""
    sentences = []
    for mark in marks(root):
        instead = (read_manifest(root, mark) or {}).get("instead")
        if isinstance(instead, dict):
            sentences += [
                f"{split} of the {mark.label} corpus holds {what}" for split, what in instead.items()
            ]
    return tuple(sentences)


def begin(root: Path, mark: Mark, notice: str) -> None:
    """Claim `root` for a made corpus: from here on it is marked, and it counts as half made until `finish`.

    Raises UsageError if `root` holds anything and does not carry the mark: that is somebody's data.
    """
    if root.exists() and not root.is_dir():
        raise UsageError(
            f"{root} is a file, a folder for a {mark.label} corpus was expected; name another place"
        )
    # A kill may have left the mark itself half written.
    unfinished = f".{mark.notice(root).name}."
    theirs = root.is_dir() and any(not path.name.startswith(unfinished) for path in root.iterdir())
    if mark not in marks(root) and theirs:
        raise UsageError(
            f"{root} holds files that are not a {mark.label} corpus (no {mark.stem}.txt), and nothing is "
            f"written over them; name an empty or a new folder"
        )
    mark.manifest(root).unlink(missing_ok=True)
    atomic_write_text(mark.notice(root), notice)


def finish(root: Path, mark: Mark, facts: Mapping[str, Any], files: Sequence[str]) -> None:
    """Write the manifest: `facts` and the SHA-256 of each of `files`, given relative to `root`.

    `facts["instead"]`, if there, says for a split what it holds instead of the official one. Audio and
    transcripts under `root` that are not in `files` are removed first: an earlier version of the corpus left
    them.
    """
    kept = set(files)
    for path in root.rglob("*"):
        if path.is_file() and path.relative_to(root).as_posix() not in kept and _ours(path):
            path.unlink()
    hashes = {name: sha256_file(root / name) for name in sorted(kept)}
    text = json.dumps({**facts, "label": mark.label, "files": hashes}, indent=1)
    atomic_write_text(mark.manifest(root), text + "\n")


def is_whole(root: Path, mark: Mark, facts: Mapping[str, Any]) -> bool:
    """Whether the manifest is there, agrees with `facts`, and every file that it lists still has its hash."""
    manifest = read_manifest(root, mark)
    if manifest is None or any(manifest.get(key) != value for key, value in facts.items()):
        return False
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        return False
    try:
        return all(sha256_file(root / name) == sha for name, sha in files.items())
    except OSError:
        return False


def read_manifest(root: Path, mark: Mark) -> dict[str, Any] | None:
    """The manifest of a made corpus, or None if it is absent or not a JSON object."""
    return read_json(mark.manifest(root))


def _ours(path: Path) -> bool:
    return path.name.endswith((".flac", ".wav", ".trans.txt", ".tmp"))
