"""The audio files of a corpus: read with the checks that a silent reader leaves out, hashed, and written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from downstream_runs.core.corpus import Problem
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_path
from upstream_arm.common.processes import cores

Item = TypeVar("Item")

SAMPLE_RATE = 16_000
"""Samples a second of all corpora but QUESST 2014."""

FRAME = 400
"""Samples at 16 kHz of which s3prl's fbank, HuBERT's convolutions and our students make one frame."""

SHORTEST = 560
"""Samples at 16 kHz of two frames of s3prl's fbank, which normalises one alone to NaN."""

SMALL = 8192
"""Bytes: a wav of one channel with fewer samples than `SHORTEST` is smaller, whatever its encoding."""

RESTORE = "restore that file from the corpus"

_UNKNOWN_LENGTH = 1 << 40
"""libsndfile gives the largest integer there is for a flac whose header leaves the length open."""


@dataclass(frozen=True)
class Form:
    """What a file holds: samples a channel, samples a second, channels."""

    samples: int
    rate: int
    channels: int


class AudioProblem(Exception):
    """A file that cannot be used: one sentence that names it and says what was found and expected."""


def length(path: Path) -> int:
    """The length of a 16 kHz, one-channel file in samples, from its header alone.

    Raises AudioProblem if the file is absent, empty, unreadable, of another rate, of several channels or of
    fewer samples than `SHORTEST`.
    A file that was cut short keeps its header: only `decode` notices that.
    """
    form = _header(path)
    if form.rate != SAMPLE_RATE:
        raise AudioProblem(f"{path} is sampled at {form.rate:,} Hz, {SAMPLE_RATE:,} Hz was expected")
    if form.channels != 1:
        raise AudioProblem(f"{path} has {form.channels} channels, one was expected")
    if form.samples < SHORTEST:
        raise AudioProblem(
            f"{path} has {form.samples:,} sample{'s'[: form.samples - 1]} at {SAMPLE_RATE:,} Hz, at least "
            f"{SHORTEST:,} were expected (two frames of 25 ms)"
        )
    return form.samples


def decode(path: Path) -> int:
    """Decode the whole file and return its length in samples.

    Raises AudioProblem where `length` does, if fewer samples come out than the header promises, and if one of
    them is no finite number.
    """
    length(path)
    return decode_any(path).samples


def decode_any(path: Path) -> Form:
    """Decode the whole of a file of any rate and number of channels.

    Raises AudioProblem if it is absent, empty, damaged or cut short, or if a sample is no finite number.
    """
    import soundfile

    from downstream_runs.audio.files import FLOATS, missing_bytes, require_finite

    form = _header(path)
    lost = missing_bytes(path)
    if lost:
        raise AudioProblem(f"{path} is cut short: it ends {lost:,} bytes before the length in its header")
    promises = f"its header promises {form.samples:,} samples and"
    try:
        with soundfile.SoundFile(str(path)) as file:
            samples = file.read(dtype="float32" if file.subtype in FLOATS else "int16")
    except (soundfile.SoundFileError, OSError) as error:
        reason = _reason(error)
        raise AudioProblem(
            f"{path} is cut short or damaged: {promises} decoding stopped ({reason})"
        ) from None
    if len(samples) != form.samples:
        raise AudioProblem(f"{path} is cut short: {promises} {len(samples):,} could be decoded")
    try:
        require_finite(path, samples)
    except UsageError as error:
        raise AudioProblem(str(error)) from None
    return form


def _header(path: Path) -> Form:
    import soundfile

    _require_bytes(path)
    try:
        header = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioProblem(f"{path} cannot be read as audio ({_reason(error)})") from None
    if not 0 < header.frames < _UNKNOWN_LENGTH:
        raise AudioProblem(f"{path} holds no audio: its header gives no number of samples")
    return Form(int(header.frames), int(header.samplerate), int(header.channels))


def _require_bytes(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise AudioProblem(f"{path} cannot be read ({_reason(error)})") from None
    if size == 0:
        raise AudioProblem(f"{path} is empty (0 bytes)")


def _reason(error: Exception) -> str:
    """The library's own words without the path, which the sentence around names already."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    words = str(getattr(error, "error_string", error)).strip().rstrip(".")
    return words.removeprefix("Error : ")


@dataclass(frozen=True)
class AudioFile:
    """One file of a corpus.

    `name` is its path below the corpus's root, or what the corpus's lists call it; `size` is in bytes, None
    where nothing can be read there; `changed_ns` is its time of change in nanoseconds.
    """

    path: Path
    name: str
    size: int | None
    changed_ns: int

    @classmethod
    def at(cls, path: Path, root: Path) -> AudioFile:
        """The file at `path`, called by its path below `root`, or by all of it where it lies elsewhere."""
        return cls.named(path, (path.relative_to(root) if path.is_relative_to(root) else path).as_posix())

    @classmethod
    def named(cls, path: Path, name: str) -> AudioFile:
        """The file at `path` under the name that lists give it."""
        try:
            status = path.stat()
        except OSError:
            return cls(path, name, None, 0)
        return cls(path, name, status.st_size, status.st_mtime_ns)


def listing_hash(files: Iterable[AudioFile], texts: Iterable[str] = ()) -> str:
    """SHA-256 over names and sizes of `files` and over `texts`: all that decides a run but the samples."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        digest.update(f"{file.name}\t{file.size}\n".encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()


def spread(items: Sequence[Item], number: int | None) -> list[Item]:
    """`number` of the items at even distances, from the first to the last; None: all."""
    if number is None or number >= len(items):
        return list(items)
    if number <= 1:
        return list(items[:number])
    step = (len(items) - 1) / (number - 1)
    return [items[round(index * step)] for index in range(number)]


def problems(files: Sequence[AudioFile], number: int | None, what: str, shortest: int = 1) -> list[Problem]:
    """Which of `files` are empty or absent, and what is wrong with those that are decoded.

    Decoded are `number` of them, spread evenly (None: all), and unless that is 0 also those that may be too
    short by their size. Each should be 16 kHz, one channel and `shortest` samples or more.
    """
    from tqdm import tqdm

    bad = {file.name: _unreadable(file.path) for file in files if not file.size}
    chosen = {file.name for file in spread(files, number)}
    opened = [
        file for file in files if file.size and (file.name in chosen or (number != 0 and file.size < SMALL))
    ]
    # Threads suffice: libsndfile decodes outside the interpreter's lock.
    pool = ThreadPoolExecutor(max_workers=cores())
    try:
        results = pool.map(lambda file: _problem(file.path, shortest), opened)
        bar = tqdm(results, total=len(opened), desc=f"decode {what}", unit="file", disable=None, leave=False)
        bad.update({file.name: text for file, text in zip(opened, bar, strict=True) if text})
    finally:
        # An interrupted check ends now, not after the files that are still queued.
        pool.shutdown(cancel_futures=True)
    return [Problem(bad[file.name], RESTORE) for file in files if file.name in bad]


def _unreadable(path: Path) -> str:
    try:
        _require_bytes(path)
    except AudioProblem as problem:
        return str(problem)
    return f"{path} cannot be read"


def _problem(path: Path, shortest: int) -> str | None:
    try:
        samples = decode(path)
    except AudioProblem as problem:
        return str(problem)
    if samples < shortest:
        return f"{path} has {samples:,} samples at {SAMPLE_RATE:,} Hz, at least {shortest:,} were expected"
    return None


def write_audio(path: Path, wave: object, rate: int = SAMPLE_RATE) -> int:
    """Write float samples `[sample]` between -1 and 1 as 16-bit wav or flac, whole or not at all.

    Returns the number of samples.
    """
    import numpy as np
    import soundfile

    # Rounded here rather than by libsndfile, whose scaling may differ from version to version.
    samples = np.rint(np.clip(np.asarray(wave), -1, 1) * 32767).astype(np.int16)
    with atomic_path(path) as temporary:
        soundfile.write(str(temporary), samples, rate, format=path.suffix[1:].upper(), subtype="PCM_16")
    return len(samples)
