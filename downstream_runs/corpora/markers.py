"""What a corpus is beside the official one: made, with marks in its folder, or a part of it.

A made corpus carries `DEMO.txt` or `SAMPLE.txt`, in words, from the moment its making begins, and
`DEMO.json` or `SAMPLE.json`, the list of its files with their hashes, once it is whole. A corpus without
marks is held against the official counts, and one that has others is used only where that was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text, read_json, sha256_file

DEMO, SAMPLE = "demo", "sample"
"""The kinds of made corpora, by the labels that their numbers carry."""

OPTION = "--partial"
"""What allows a part of a corpus, or recordings of one's own in its layout."""


def notice_of(root: Path, label: str) -> Path:
    """The file that says in words what a made corpus is."""
    return root / f"{label.upper()}.txt"


def manifest_of(root: Path, label: str) -> Path:
    """The file that lists a made corpus and marks it as whole."""
    return root / f"{label.upper()}.json"


def labels(root: Path) -> tuple[str, ...]:
    """`("demo",)` for synthetic speech, `("sample",)` for a few real utterances, `()` for anything else.

    A corpus of which only half was made is marked too. Every number measured on it has to carry these.
    """
    return tuple(
        label
        for label in (DEMO, SAMPLE)
        if notice_of(root, label).is_file() or manifest_of(root, label).is_file()
    )


def deviations(root: Path) -> tuple[str, ...]:
    """What a made corpus says that its splits hold instead of the official ones, a sentence each."""
    sentences = []
    for label in labels(root):
        instead = (read_manifest(root, label) or {}).get("instead")
        for split, what in instead.items() if isinstance(instead, dict) else ():
            sentences.append(f"{split} of the {label} corpus holds {what}")
    return tuple(sentences)


def begin(root: Path, label: str, notice: str) -> None:
    """Claim `root` for a made corpus: from here on it is marked, and it counts as half made until `finish`.

    Raises UsageError if `root` holds anything and does not carry the mark: that is somebody's data.
    """
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file, a folder for a {label} corpus was expected; name another place")
    # A kill may have left the mark itself half written.
    unfinished = f".{notice_of(root, label).name}."
    theirs = root.is_dir() and any(not path.name.startswith(unfinished) for path in root.iterdir())
    if label not in labels(root) and theirs:
        raise UsageError(
            f"{root} holds files that are not a {label} corpus (no {label.upper()}.txt), and nothing is "
            f"written over them; name an empty or a new folder"
        )
    manifest_of(root, label).unlink(missing_ok=True)
    atomic_write_text(notice_of(root, label), notice)


def finish(root: Path, label: str, facts: Mapping[str, Any], files: Sequence[str]) -> None:
    """Write the manifest: `facts` and the SHA-256 of each of `files`, given relative to `root`.

    `facts["instead"]`, if there, says for a split what it holds instead of the official one. Audio and
    transcripts under `root` that are not in `files` are removed first: an earlier version of the corpus left
    them.
    """
    kept = set(files)
    for path in root.rglob("*"):
        ours = path.name.endswith((".flac", ".wav", ".trans.txt", ".tmp"))
        if ours and path.is_file() and path.relative_to(root).as_posix() not in kept:
            path.unlink()
    hashes = {name: sha256_file(root / name) for name in sorted(kept)}
    text = json.dumps({**facts, "label": label, "files": hashes}, indent=1)
    atomic_write_text(manifest_of(root, label), text + "\n")


def is_whole(root: Path, label: str, facts: Mapping[str, Any]) -> bool:
    """Whether the manifest is there, agrees with `facts`, and every file that it lists still has its hash."""
    manifest = read_manifest(root, label) or {}
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        return False
    try:
        return all(manifest.get(key) == value for key, value in facts.items()) and all(
            sha256_file(root / name) == sha for name, sha in files.items()
        )
    except OSError:
        return False


def read_manifest(root: Path, label: str) -> dict[str, Any] | None:
    """The manifest of a made corpus, or None if it is absent or not a JSON object."""
    return read_json(manifest_of(root, label))
