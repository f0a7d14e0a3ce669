"""LibriSpeech: where it is, whether it is whole and readable, and its length tables for s3prl.

This is the module to import; the layout, the transcripts and the length tables have files of their own.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import Corpus, PreparedData, Split, Standing
from downstream_runs.corpora import folders, transcripts, vocabulary, wavs
from downstream_runs.corpora.audio import RESTORE
from downstream_runs.corpora.layout import (
    OFFICIAL_UTTERANCES,
    SAMPLE_RATE,
    SPLITS,
    AudioFile,
    chapters,
    find_root,
)
from downstream_runs.corpora.lengths import write_lengths
from downstream_runs.corpora.markers import (
    Count,
    labels,
    marks,
    read_manifest,
    standing,
)
from downstream_runs.corpora.problems import Problem

__all__ = [
    "SPLITS",
    "CorpusReport",
    "SplitReport",
    "check",
    "find_root",
    "labels",
    "require_good",
    "write_lengths",
]


@dataclass(frozen=True)
class SplitReport:
    """What one split holds.

    `seconds` is the audio in seconds, or None unless every file was decoded; `decoded` counts the files that
    were. Each of `problems` is one sentence that names a file or folder.
    """

    split: str
    utterances: int
    decoded: int
    seconds: float | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class CorpusReport:
    """What a LibriSpeech root holds, split by split, and the labels that numbers measured on it carry."""

    root: Path
    labels: tuple[str, ...]
    splits: Mapping[str, SplitReport]

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems of all splits, in the order in which the splits were asked for."""
        return tuple(problem for report in self.splits.values() for problem in report.problems)


def check(root: Path, splits: Sequence[str], *, decode: int | None, partial: bool = False) -> CorpusReport:
    """Compare `splits` under `root` with what LibriSpeech holds, and decode audio.

    Counts, transcripts and empty files are checked in full. `decode` files of each split, spread evenly, are
    decoded whole; None decodes all. Counts are the official ones, but those of the manifest where the root is
    marked as a demo or sample corpus; with `partial` any number will do, and lines of transcripts may lack
    their audio. Problems are collected, never raised: see `require_good`.
    """
    reports = {split: _check_split(root, split, decode, partial) for split in splits}
    return CorpusReport(root, labels(root), reports)


def require_good(report: CorpusReport, partial: bool = False) -> Standing:
    """Raise UsageError with the first problem and the number of others, if there are any.

    Returns what the corpus is; UsageError also for one that is not whole, unless `partial` allows it.
    """
    if report.labels:
        advice = f"delete {report.root} and make the {' and '.join(report.labels)} corpus again"
    else:
        named = " and ".join(split for split, found in report.splits.items() if found.problems)
        advice = f"unpack the archive of {named} from openslr.org/12 again, or try the path first with --demo"
    counts = [
        Count(split, found.utterances, OFFICIAL_UTTERANCES[split])
        for split, found in report.splits.items()
        if split in OFFICIAL_UTTERANCES
    ]
    if report.labels or not all(found.utterances for found in report.splits.values()):
        wavs.require_good(report.problems, advice)
    found = standing(report.root, counts, partial, "unpack the archives of openslr.org/12 again")
    wavs.require_good(report.problems, advice)
    return found


_WANTED = "<speaker>/<chapter>/*.flac was expected, as the archives of openslr.org/12 have it"


def _check_split(root: Path, split: str, decode: int | None, partial: bool) -> SplitReport:
    if not (root / split).is_dir():
        return SplitReport(split, 0, 0, None, (f"{split} is missing: there is no folder {root / split}",))
    problems: list[str] = []
    files: list[AudioFile] = []
    for folder, audio in chapters(root, split):
        named = (file.utterance for file in audio)
        problems.extend(transcripts.check_chapter(folder, named, partial and not marks(root)))
        files.extend(audio)
    if not files and (lies := folders.what_lies_there(root / split)):
        return SplitReport(split, 0, 0, None, (f"{root / split} holds {lies}, {_WANTED}",))
    chosen = files if decode is None else _spread(files, decode)
    samples = 0
    failed: set[AudioFile] = set()
    for file, result in _decode(chosen, split):
        if isinstance(result, int):
            samples += result
        else:
            problems.append(result)
            failed.add(file)
    problems.extend(
        Problem(f"{file.path} is empty (0 bytes)", RESTORE)
        for file in files
        if not file.size and file not in failed
    )
    whole = len(chosen) == len(files) and not failed
    seconds = samples / SAMPLE_RATE if whole else None
    return SplitReport(
        split,
        len(files),
        len(chosen),
        seconds,
        (*_count_problems(root, split, len(files), partial), *problems),
    )


def _count_problems(root: Path, split: str, found: int, partial: bool) -> Iterator[str]:
    marked = marks(root)
    if not marked:
        expected: int | None = None if partial else OFFICIAL_UTTERANCES.get(split)
    else:
        mark = marked[0]
        manifest = read_manifest(root, mark)
        if manifest is None:
            yield f"{root} is a half made {mark.label} corpus: it has no readable {mark.stem}.json"
            return
        listed = manifest.get("files")
        names = listed if isinstance(listed, dict) else {}
        expected = sum(name.startswith(f"{split}/") and name.endswith(".flac") for name in names) or None
    if expected is not None and found != expected:
        yield f"{split} has {found:,} of {expected:,} utterances in {root / split}"
    elif found == 0:
        yield f"{split} has no flac files: nothing fits {root / split}/<speaker>/<chapter>/*.flac"


def _spread(files: list[AudioFile], number: int) -> list[AudioFile]:
    """`number` of the files at even distances, from the first to the last."""
    if number >= len(files):
        return files
    if number <= 1:
        return files[:number]
    step = (len(files) - 1) / (number - 1)
    return [files[round(index * step)] for index in range(number)]


def _decode(files: list[AudioFile], split: str) -> Iterator[tuple[AudioFile, int | str]]:
    """Each file with its length in samples, or with the sentence that says what is wrong with it."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    from tqdm import tqdm

    # Threads suffice: libsndfile decodes outside the interpreter's lock.
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        results = pool.map(_decode_one, files)
        shown = tqdm(results, total=len(files), desc=f"decode {split}", unit="file", disable=None)
        yield from zip(files, shown, strict=True)
    finally:
        # An interrupted check ends now, not after the files that are still queued.
        pool.shutdown(cancel_futures=True)


def _decode_one(file: AudioFile) -> int | str:
    from downstream_runs.corpora.audio import AudioProblem, decode

    try:
        return decode(file.path)
    except AudioProblem as problem:
        return Problem(str(problem), RESTORE)


def look(data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False) -> Standing:
    """Hold LibriSpeech under `data` against its counts and transcripts."""
    _, every = _parts(config)
    root = find_root(data).resolve()
    report = check(root, every, decode=0, partial=partial)
    return require_good(report, partial)


def _parts(config: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The corpus's folders of each split, and all of them."""
    datarc = config["downstream_expert"]["datarc"]
    parts = {split: tuple(datarc[split]) for split in ("train", "dev-clean", "test-clean")}
    return parts, tuple(dict.fromkeys(part for names in parts.values() for part in names))


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find LibriSpeech under `data` and write the length tables and character dictionary that s3prl reads."""
    found = look(data, cache, config, partial)
    parts, every = _parts(config)
    root = find_root(data).resolve()
    tables = write_lengths(root, every, cache).resolve()
    dictionary = vocabulary.write_char_dict(cache / "char.dict").resolve()
    listed = {part: _rows(tables / f"{part}.csv") for part in every}
    return PreparedData(
        root=root,
        settings={
            "datarc.libri_root": str(root),
            "datarc.bucket_file": str(tables),
            "datarc.dict_path": str(dictionary),
        },
        utterances={split: sum(len(listed[part]) for part in names) for split, names in parts.items()},
        audio=tuple(
            root / path for part in every for path in sorted(row["file_path"] for row in listed[part])
        ),
        sha256=_content_hash(root, listed, dictionary),
        **found.facts,
    )


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _content_hash(root: Path, listed: Mapping[str, list[dict[str, str]]], dictionary: Path) -> str:
    """Over utterances, lengths, transcripts and characters: all that decides a run but the samples."""
    digest = hashlib.sha256(dictionary.read_bytes())
    for part in sorted(listed):
        rows = sorted((row["file_path"], row["length"]) for row in listed[part])
        for path, length in rows:
            digest.update(f"{path}\t{length}\n".encode())
        for chapter in sorted({Path(path).parent for path, _ in rows}):
            transcript = root / chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt"
            digest.update(transcript.read_bytes())
    return digest.hexdigest()


def _make_demo(folder: Path) -> Path:
    """The synthetic corpus in LibriSpeech's layout, made in `folder`."""
    from downstream_runs.corpora.demo import librispeech

    return librispeech.make(folder)


CORPUS = Corpus(
    name="LibriSpeech train-clean-100, dev-clean, test-clean",
    licence="CC BY 4.0",
    size="6.3 GB + 337 MB + 346 MB",
    url="https://www.openslr.org/12",
    splits={"train": Split(28_539, 100.6), "dev": Split(2_703, 5.4), "test": Split(2_620, 5.4)},
    look=look,
    prepare=prepare,
    make_demo=_make_demo,
)
