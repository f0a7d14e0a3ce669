"""LibriSpeech: `<root>/<part>/<speaker>/<chapter>/<speaker>-<chapter>-NNNN.flac`, and what ASR reads of it.

Beside the audio of a chapter lies `<speaker>-<chapter>.trans.txt`, one line `ID TRANSCRIPT` an utterance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData, Problem, Split
from downstream_runs.corpora import audio, checks, folders, measured, texts, transcripts
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import csv_text

OFFICIAL: Mapping[str, int] = {
    "train-clean-100": 28_539,
    "train-clean-360": 104_014,
    "train-other-500": 148_688,
    "dev-clean": 2_703,
    "dev-other": 2_864,
    "test-clean": 2_620,
    "test-other": 2_939,
}
"""Utterances in each part, counted in the archives of openslr.org/12."""

GET = "unpack train-clean-100, dev-clean and test-clean of openslr.org/12"

Parts = Mapping[str, Sequence[str]]
"""s3prl's splits and the corpus's parts that each is read from."""


def chapters(root: Path, part: str) -> Iterator[tuple[Path, list[AudioFile]]]:
    """Every chapter folder of a part, with its flac files, both in the order of their names.

    Raises UsageError as `folders.files` does, and for a second file of an utterance, such as ID.1.flac.
    """
    for speaker in folders.subfolders(root / part) if (root / part).is_dir() else ():
        for chapter in folders.subfolders(speaker):
            paths = folders.files(chapter, ".flac")
            second = next((path for path in paths if path.name.count(".") > 1), None)
            if second is not None:
                raise UsageError(
                    f"{second} has a name that no file of LibriSpeech has, such as 84-121123-0000.flac was "
                    "expected; s3prl would take it for another copy of that utterance: remove it"
                )
            where = f"{part}/{speaker.name}/{chapter.name}"
            yield chapter, [AudioFile.named(path, f"{where}/{path.name}") for path in paths]


def audio_files(root: Path, part: str) -> list[AudioFile]:
    """All flac files of a part, in the order of their paths; empty if the part is missing."""
    return [file for _, files in chapters(root, part) for file in files]


def list_parts(request: Request, parts: Parts) -> Listing[Parts]:
    """The files of all parts that the splits are read from, with what is wrong with their transcripts."""
    root = request.root
    files: dict[str, list[AudioFile]] = {}
    problems: list[str] = []
    for part in dict.fromkeys(part for names in parts.values() for part in names):
        listed = list(chapters(root, part))
        files[part] = [file for _, found in listed for file in found]
        if not files[part]:
            problems.append(_nothing(root, part))
            continue
        for folder, found in listed:
            problems += transcripts.check_chapter(folder, [one.path.stem for one in found], request.partial)
    counts = {part: len(found) for part, found in files.items()}
    return Listing(root, counts, files, parts, problems)


def _nothing(root: Path, part: str) -> str:
    """A sentence on a part without an utterance."""
    if not (root / part).is_dir():
        return f"{part} is missing: there is no folder {root / part}"
    lies = folders.what_lies_there(root / part) or "no flac file"
    return (
        f"{root / part} holds {lies}, <speaker>/<chapter>/*.flac was expected, as the archives of "
        "openslr.org/12 have it"
    )


def measure(listing: Listing[Any], cache: Path) -> dict[str, int]:
    """Samples of each file by its header, read once and kept; UsageError for one that cannot be used."""
    files = [file for files in listing.audio.values() for file in files]
    lengths, problems = measured.measure(files, audio.length, cache / "lengths.txt", "lengths LibriSpeech")
    again = "unpack its archive of openslr.org/12 again, then start this again"
    checks.require_none([Problem(problem, audio.RESTORE) for problem in problems], again)
    return lengths


def length_table(lengths: Mapping[str, int]) -> str:
    """The table that s3prl's ASR data set sorts and batches by (its setting `bucket_file`).

    s3prl makes it with a script outside its PyPI package that no longer runs. A nameless counter, `file_path`
    relative to the root, `length` in samples, and an empty `label`; longest first. Files of one length are in
    the order of their paths here, so that the table depends on nothing but the corpus.
    """
    ordered = sorted(lengths.items(), key=lambda item: (-item[1], item[0]))
    rows = ((index, path, samples, "") for index, (path, samples) in enumerate(ordered))
    return csv_text([("", "file_path", "length", "label"), *rows])


def write_tables(listing: Listing[Any], lengths: Mapping[str, int], folder: Path) -> None:
    """Write `<part>.csv` for each part to `folder`; a table that is the same is left as it is."""
    for part, files in listing.audio.items():
        table = length_table({one.name: lengths[one.name] for one in files})
        texts.write_changed(folder / f"{part}.csv", table)


def _listed(request: Request) -> Listing[Parts]:
    datarc = request.config["downstream_expert"]["datarc"]
    return list_parts(request, {split: datarc[split] for split in ("train", "dev-clean", "test-clean")})


def _written(listing: Listing[Parts], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Write the length tables and the character dictionary that s3prl reads."""
    parts = listing.content
    lengths = measure(listing, cache)
    write_tables(listing, lengths, cache)
    dictionary = texts.write_changed(cache / "char.dict", transcripts.char_dict())
    return PreparedData(
        root=listing.root,
        settings={
            "datarc.libri_root": str(listing.root),
            "datarc.bucket_file": str(cache.resolve()),
            "datarc.dict_path": str(dictionary),
        },
        utterances={split: sum(listing.counts[part] for part in names) for split, names in parts.items()},
        sha256=_content_hash(listing, lengths),
    )


def _content_hash(listing: Listing[Parts], lengths: Mapping[str, int]) -> str:
    """Over utterances, lengths, transcripts and characters: all that decides a run but the samples."""
    digest = hashlib.sha256(transcripts.char_dict().encode())
    for part in sorted(listing.audio):
        files = sorted(listing.audio[part], key=lambda file: file.name)
        for file in files:
            digest.update(f"{file.name}\t{lengths[file.name]}\n".encode())
        for chapter in sorted({Path(file.name).parent for file in files}):
            digest.update(transcripts.path(listing.root / chapter).read_bytes())
    return digest.hexdigest()


def _is_root(root: Path) -> bool:
    return any((root / part).is_dir() for part in OFFICIAL)


CORPUS = CheckedCorpus(
    name="LibriSpeech train-clean-100, dev-clean, test-clean",
    licence="CC BY 4.0",
    size="6.3 GB + 337 MB + 346 MB",
    url="https://www.openslr.org/12",
    # Panayotov et al. 2015, table 1.
    splits={"train": Split(28_539, 100.6), "dev": Split(2_703, 5.4), "test": Split(2_620, 5.4)},
    demo="downstream_runs.corpora.demo.librispeech",
    title="LibriSpeech",
    get=GET,
    places=("LibriSpeech",),
    holds=_is_root,
    sign="a folder such as train-clean-100",
    official=OFFICIAL,
    listed=_listed,
    written=_written,
)
