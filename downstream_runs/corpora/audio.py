"""The audio files of a corpus: read with the checks that a silent reader leaves out, hashed, and written."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from downstream_runs.audio import RESTORE, AudioProblem, mixtures
from downstream_runs.core.corpus import PreparedData, Problem
from downstream_runs.corpora import texts
from upstream_arm.common import stages
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_path
from upstream_arm.common.processes import cores
from upstream_arm.listings import status

Item = TypeVar("Item")

SAMPLE_RATE = 16_000
"""Samples a second of all corpora but QUESST 2014."""

FRAME = 400
"""Samples at 16 kHz of which s3prl's fbank, HuBERT's convolutions and our students make one frame."""

SHORTEST = 560
"""Samples at 16 kHz of two frames of s3prl's fbank, which normalises one alone to NaN."""

SMALL = 8192
"""Bytes: a wav of one channel with fewer samples than `SHORTEST` is smaller, whatever its encoding."""

SAMPLED, SAMPLED_BYTES = 256, 1 << 16
"""Files of which a run remembers the first bytes, and how many of them, see `sampled`."""

_WORD = re.compile(r"[0-9]+(?:-[0-9a-f]{64})?")
"""What `remember` keeps of a file: a number, and perhaps a SHA-256."""

_UNKNOWN_LENGTH = 1 << 40
"""libsndfile gives the largest integer there is for a flac whose header leaves the length open."""


@dataclass(frozen=True)
class Form:
    """What a file holds: samples a channel, samples a second, channels."""

    samples: int
    rate: int
    channels: int


def length(path: Path) -> int:
    """The length of a 16 kHz, one-channel file in samples, from its header alone.

    Raises AudioProblem if the file is absent, empty, unreadable, of another rate, of several channels or of
    fewer samples than `SHORTEST`.
    A flac that was cut short keeps its header: only `decode` notices that.
    """
    return _usable(path, form(path))


def decode(path: Path, shortest: int = SHORTEST) -> int:
    """Decode the whole file and return its length in samples; AudioProblem as of `length` and `form`."""
    return _usable(path, form(path, decoded=True), shortest)


def form(path: Path, *, decoded: bool = False) -> Form:
    """What a file of any rate and number of channels holds, by its header, or with all of it `decoded`.

    Raises AudioProblem if it is absent, empty or no audio; when decoding, also if fewer samples come out
    than the header promises, and if one of them is no finite number.
    """
    from downstream_runs.audio.files import FLOATS, open_audio, read_frames

    try:
        with open_audio(path) as audio:
            if not 0 < audio.frames < _UNKNOWN_LENGTH:
                raise AudioProblem(f"{path} holds no audio: its header gives no number of samples")
            if decoded:
                read_frames(audio, "float32" if audio.subtype in FLOATS else "int16")
            return Form(int(audio.frames), int(audio.samplerate), int(audio.channels))
    except AudioProblem:
        mixture = mixtures.at(path)
        if mixture is None:
            raise
        return Form(len(mixture.mixed()) if decoded else mixture.samples, mixtures.RATE, 1)


def _usable(path: Path, form: Form, shortest: int = SHORTEST) -> int:
    if form.rate != SAMPLE_RATE:
        raise AudioProblem(f"{path} is sampled at {form.rate:,} Hz, {SAMPLE_RATE:,} Hz was expected")
    if form.channels != 1:
        raise AudioProblem(f"{path} has {form.channels} channels, one was expected")
    if form.samples < shortest:
        why = " (two frames of 25 ms)" if shortest == SHORTEST else ""
        raise AudioProblem(
            f"{path} has {form.samples:,} sample{'s'[: form.samples - 1]} at {SAMPLE_RATE:,} Hz, at least "
            f"{shortest:,} were expected{why}"
        )
    return form.samples


@dataclass(frozen=True)
class AudioFile:
    """One file of a corpus.

    `name` is its path below the corpus's root, or what the corpus's lists call it; `size` is in bytes, None
    where nothing can be read there; `changed_ns` is its time of change in nanoseconds. A mixture that is no
    file has the size of one, and its sources' sizes and times added up for a time of change.
    """

    path: Path
    name: str
    size: int | None
    changed_ns: int

    @classmethod
    def at(cls, path: Path, root: Path | None = None, name: str = "") -> AudioFile:
        """The file at `path`, called `name`, or by its path below `root`, or by all of it elsewhere."""
        if root is not None and path.is_relative_to(root):
            name = path.relative_to(root).as_posix()
        try:
            found = status(path)
            return cls(path, name or str(path), found.size, found.changed_ns)
        except OSError:
            mixture = mixtures.at(path)
        try:
            parts = [status(part.path) for part in mixture.parts] if mixture else []
        except OSError:
            parts = []
        size = mixture.size if mixture and parts else None
        return cls(path, name or str(path), size, sum(part.size + part.changed_ns for part in parts))

    @property
    def key(self) -> str:
        """What must be the same for the same content to be expected."""
        return f"{self.size} {self.changed_ns} {self.name}"

    @property
    def line(self) -> str:
        """Its name and size, as hashes of listings have them."""
        return f"{self.name}\t{self.size}\n"


def listing_hash(files: Iterable[AudioFile], lists: Iterable[str] = ()) -> str:
    """SHA-256 over names and sizes of `files` and over `lists`: all that decides a run but the samples."""
    names = (file.line for file in sorted(files, key=lambda file: file.path))
    return texts.digest([*names, *(hashlib.sha256(text.encode()).digest() for text in lists)])


def spread(items: Sequence[Item], number: int | None) -> list[Item]:
    """`number` of the items at even distances, from the first to the last; None: all."""
    if number is None or number >= len(items):
        return list(items)
    if number <= 1:
        return list(items[:number])
    step = (len(items) - 1) / (number - 1)
    return [items[round(index * step)] for index in range(number)]


def sampled(data: PreparedData) -> PreparedData:
    """`data` with its hash over a sample of the audio's bytes too; the list of its files is left out.

    The hashes of the corpora are over names and sizes (or lengths), lists and transcripts: reading 31 GB
    before each run is no check that anybody would wait for. Wavs that are written anew in their places,
    louder or with less noise, keep all that, and a finished run would be handed back as if it were of them.
    So the first 64 KiB of 256 files, spread evenly over the corpus, are hashed too. Times of change say
    nothing here: a copy has new ones. Not seen is a change that keeps names and sizes and touches none of
    these files, or only what comes after the first two seconds of 16-bit speech. The former hash stays as
    `listing_sha256`. UsageError for a file that cannot be read.
    """
    if not data.audio:
        return data
    digest = texts.digest([f"{data.sha256}\n{sample_hash(data.audio)}\n"])
    return dataclasses.replace(data, sha256=digest, listing_sha256=data.sha256, audio=())


def sample_hash(files: Sequence[Path]) -> str:
    """SHA-256 over the beginnings of `SAMPLED` of the files, in the order given."""
    digest = hashlib.sha256()
    for path in spread(files, SAMPLED):
        try:
            with mixtures.opened(path) as file:
                digest.update(hashlib.sha256(file.read(SAMPLED_BYTES)).digest())
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"{path} cannot be read ({reason}); make it readable, or restore it") from None
    return digest.hexdigest()


def problems(
    files: Sequence[AudioFile],
    number: int | None,
    what: str,
    shortest: int = SHORTEST,
    trusted: Callable[[AudioFile], bool] = lambda file: False,
    also: Collection[Path] = (),
) -> list[Problem]:
    """Which of `files` are empty or absent, and what is wrong with those that are decoded.

    Decoded are `number` of them, spread evenly (None: all), those of `also`, and unless `number` is 0 those
    that may be too short by their size; of `trusted` ones the header is read. Each should be 16 kHz, one
    channel and `shortest` samples or more.
    """
    chosen = {file.name for file in spread(files, number)}
    opened = [
        file
        for file in files
        if not file.size
        or file.name in chosen
        or (number != 0 and file.size < SMALL)
        or (also and file.path in also)
    ]
    known = {file.path for file in opened if trusted(file)}

    def usable(path: Path) -> int:
        return _usable(path, form(path, decoded=path not in known), shortest)

    results = in_threads(usable, opened, f"decode {what}")
    return [result for _, result in results if isinstance(result, Problem)]


def in_threads(
    function: Callable[[Path], Item], files: Sequence[AudioFile], what: str, jobs: int | None = None
) -> Iterator[tuple[AudioFile, Item | Problem]]:
    """Each file with what `function` gives for its path, in order; a Problem where that is AudioProblem.

    jobs: how many at a time (default: as many as there are cores).
    """

    def one(file: AudioFile) -> Item | Problem:
        try:
            return function(file.path)
        except AudioProblem as problem:
            return Problem(problem.what, RESTORE)

    # Threads suffice: decoding and numpy's sums run outside the interpreter's lock.
    pool = ThreadPoolExecutor(max_workers=jobs or cores())
    try:
        shown = stages.bar(pool.map(one, files), what, len(files), unit="file", delay=stages.SECONDS)
        yield from zip(files, shown, strict=True)
    finally:
        # What is interrupted ends now, not after the files that are still queued.
        pool.shutdown(cancel_futures=True)


def measure(
    files: Sequence[AudioFile], number_of: Callable[[Path], int], table: Path, what: str
) -> tuple[dict[str, int], list[Problem]]:
    """`number_of` each file by the file's name, and what is wrong with those that give AudioProblem.

    `table` keeps the numbers, see `remember`.
    """
    words, problems = remember(files, number_of, table, what)
    return {name: int(word) for name, word in words.items()}, problems


def remember(
    files: Sequence[AudioFile], word_of: Callable[[Path], object], table: Path, what: str, bad: str = ""
) -> tuple[dict[str, str], list[Problem]]:
    """A number (or another `_WORD`) of each file by its name, and what is wrong with those of AudioProblem.

    `table` keeps the words, a line `WORD SIZE CHANGED_NS NAME` a file, and only grows: a file that has
    changed since gets another line, and what was killed goes on where it stopped. `bad`: the word in a line
    for each of AudioProblem, which is asked again all the same. UsageError where it cannot be written.
    """
    with texts.writing(table):
        known = remembered(table)
        words = {file.name: known[file.key] for file in files if file.key in known}
        missing = [file for file in files if file.name not in words]
        problems = []
        if missing:
            table.parent.mkdir(parents=True, exist_ok=True)
            with table.open("ab", buffering=0) as save:
                _await_others(save, what)
                known = remembered(table)
                words |= {file.name: known[file.key] for file in missing if file.key in known}
                missing = [file for file in missing if file.name not in words]
                for file, result in in_threads(word_of, missing, what):
                    word = str(result)
                    if isinstance(result, Problem):
                        problems.append(result)
                        word = bad
                    else:
                        words[file.name] = word
                    # At once, so that two runs cannot mix their lines; the first newline ends a line that a
                    # kill left unfinished.
                    if word:
                        save.write(f"\n{word} {file.key}\n".encode("utf-8", "surrogateescape"))
    return words, problems


def _await_others(table: IO[bytes], what: str) -> None:
    """Have the table to oneself as long as it is open: what another run measures need not be done again."""
    with contextlib.suppress(OSError):  # a file system without locks
        try:
            fcntl.flock(table, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{what}: another run does it, and this one waits", file=sys.stderr)
            fcntl.flock(table, fcntl.LOCK_EX)


def remembered(table: Path) -> dict[str, str]:
    """What `remember` saved, by the files' keys, the latest last."""
    return words_of(lines_of(table))


def lines_of(table: Path) -> list[str]:
    """The whole lines of a table; the last may be one that a kill cut off: it has no newline."""
    if not table.is_file():
        return []
    return table.read_text(encoding="utf-8", errors="surrogateescape").split("\n")[:-1]


def words_of(lines: Iterable[str]) -> dict[str, str]:
    """The words by the files' keys, of the lines that have a word and a key."""
    known: dict[str, str] = {}
    for line in lines:
        word, _, key = line.partition(" ")
        if _WORD.fullmatch(word) and key.count(" ") >= 2:
            known[key] = word
    return known


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
