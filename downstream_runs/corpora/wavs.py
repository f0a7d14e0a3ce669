"""What the corpora of single wav files share: listing them, decoding some, and saying what is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from downstream_runs.corpora import folders
from downstream_runs.corpora.audio import RESTORE
from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.corpora.problems import Problem
from downstream_runs.corpora.problems import require_none as require_good
from upstream_arm.common.errors import UsageError

__all__ = ["find", "listing_hash", "problem", "problems", "require_good", "spread", "suspects", "write_wav"]

Some = TypeVar("Some")

SMALL = 8192
"""Bytes: a file of one channel with fewer samples than `audio.SHORTEST` is smaller, whatever its encoding."""


def spread(items: Sequence[Some], number: int | None) -> list[Some]:
    """`number` of the items at even distances, from the first to the last; None: all."""
    if number is None or number >= len(items):
        return list(items)
    if number <= 1:
        return list(items[:number])
    step = (len(items) - 1) / (number - 1)
    return [items[round(index * step)] for index in range(number)]


def problem(path: Path, shortest: int = 1) -> str | None:
    """What is wrong with a file that should be 16 kHz, one channel and `shortest` samples or more, or None.

    The file is decoded to its end.
    """
    from downstream_runs.corpora.audio import AudioProblem, decode

    try:
        samples = decode(path)
    except AudioProblem as error:
        return Problem(str(error), RESTORE)
    if samples < shortest:
        what = f"{path} has {samples:,} samples at {SAMPLE_RATE:,} Hz, at least {shortest:,} were expected"
        return Problem(what, RESTORE)
    return None


def suspects(files: Sequence[Path], decode: int | None) -> list[Path]:
    """The files to decode: `decode` of them, spread evenly, and all that may be too short, by their size."""
    chosen = set(spread(files, decode))
    return [path for path in files if path in chosen or path.stat().st_size < SMALL]


def problems(files: Sequence[Path], decode: int | None, what: str, shortest: int = 1) -> list[str]:
    """Which of `files` are empty or absent, and what is wrong with those that are decoded: see `suspects`."""
    from tqdm import tqdm

    found, sound = [], []
    for path in files:
        text = _without_content(path)
        if text is None:
            sound.append(path)
        else:
            found.append(text)
    for path in tqdm(suspects(sound, decode), desc=f"decode {what}", unit="file", disable=None, leave=False):
        text = problem(path, shortest)
        if text is not None:
            found.append(text)
    return found


def _without_content(path: Path) -> str | None:
    try:
        return None if path.stat().st_size else Problem(f"{path} is empty (0 bytes)", RESTORE)
    except OSError as error:
        return Problem(f"{path} cannot be read ({(error.strerror or str(error)).lower()})", RESTORE)


def listing_hash(root: Path, files: Iterable[Path], texts: Iterable[str] = ()) -> str:
    """SHA-256 over names and sizes of `files` and over `texts`: all that decides a run but the samples."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(root).as_posix()}\t{path.stat().st_size}\n".encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()


def find(data: Path, names: Sequence[str], holds: Callable[[Path], bool], sentence: str) -> Path:
    """The first of DATA/name for `names`, or DATA itself, for which `holds`; else UsageError.

    `sentence` says what a corpus holds and where to get it, and ends the message.
    """
    data = folders.place(data)
    for candidate in (*(data / name for name in names), data):
        if holds(candidate):
            return candidate
    looked = ", ".join(str(data / name) for name in names)
    found = "that folder does not exist" if not data.is_dir() else "none of them has it"
    raise UsageError(f"looked in {looked} and {data} for {sentence.format(found=found)}")


def write_wav(path: Path, wave: object) -> None:
    """Write float samples `[sample]` between -1 and 1 as 16-bit wav at 16 kHz, whole or not at all."""
    import numpy as np
    import soundfile

    from upstream_arm.common.files import atomic_path

    # Rounded here rather than by libsndfile, whose scaling may differ from version to version.
    samples = np.rint(np.clip(np.asarray(wave), -1, 1) * 32767).astype(np.int16)
    with atomic_path(path) as temporary:
        soundfile.write(str(temporary), samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
