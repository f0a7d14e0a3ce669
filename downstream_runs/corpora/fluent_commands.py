"""Fluent Speech Commands: three tables, and the audio that they name.

`data/{train,valid,test}_data.csv` have a line an utterance, `path` relative to the root
(`wavs/speakers/<speaker>/<utterance>.wav`) and three slots `action`, `object`, `location`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import audio, checks, folders, texts
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import csv_text

FOLDER = "fluent_speech_commands_dataset"
"""The folder in the corpus's archive."""

TABLES: Mapping[str, str] = {
    "train": "data/train_data.csv",
    "dev": "data/valid_data.csv",
    "test": "data/test_data.csv",
}
SLOTS = ("action", "object", "location")
COLUMNS = ("path", *SLOTS)
SPEAKER = "speakerId"


@dataclass(frozen=True)
class Utterance:
    """One line of a table: where it stands, its file, speaker and slots."""

    place: str
    path: Path
    speaker: str
    slots: tuple[str, ...]


Tables = Mapping[str, Sequence[Utterance]]


def read(root: Path) -> dict[str, list[Utterance]]:
    """The lines of the three tables, read as s3prl reads them, with pandas' rules for empty fields.

    UsageError for a table that s3prl would trip over.
    """
    return {split: list(_read(root, root / table)) for split, table in TABLES.items()}


def _read(root: Path, table: Path) -> Iterator[Utterance]:
    again = f"{CORPUS.get} again"
    frame = texts.table(table, COLUMNS, again)
    for column in COLUMNS:
        # pandas reads an empty field, and words such as NA, as no value.
        wrong = [index for index, value in enumerate(frame[column]) if not isinstance(value, str)]
        if wrong:
            raise UsageError(
                f"{table} line {wrong[0] + 2} has {frame[column].iloc[wrong[0]]!r} for {column}, as pandas "
                f"reads it; text was expected ({len(wrong):,} such lines); {again}"
            )
    speakers = frame[SPEAKER].astype(str) if SPEAKER in frame.columns else frame["path"]
    for line, (path, speaker, *slots) in enumerate(
        zip(frame["path"], speakers, *(frame[slot] for slot in SLOTS), strict=True), start=2
    ):
        yield Utterance(f"{table} line {line}", root / path, speaker, tuple(slots))


def _problems(root: Path, utterances: Tables) -> Iterator[str]:
    """What keeps the tables from being used, a sentence each."""
    known = [{one.slots[slot] for one in utterances["train"]} for slot in range(len(SLOTS))]
    for listed in utterances.values():
        seen: dict[Path, str] = {}
        for one in listed:
            for slot, name in enumerate(SLOTS):
                if one.slots[slot] not in known[slot]:
                    yield (
                        f"{one.place} has {one.slots[slot]!r} for {name}, which no line of {TABLES['train']} "
                        "has: the head has no output for it"
                    )
            inside = one.path.relative_to(root).parts if one.path.is_relative_to(root) else ("..",)
            if ".." in inside:
                yield f"{one.place} names {one.path}, a file in {root} was expected"
            elif not all(map(folders.belongs, inside)):
                yield f"{one.place} names {one.path}, which is hidden: rename it"
            folders.require_writable(one.path, one.place)
            first = seen.setdefault(one.path, one.place)
            if first != one.place:
                yield f"{one.place} gives {one.path.name} again, as {first.rpartition('.csv ')[2]} does"


def _listed(request: Request) -> Listing[Tables]:
    """The lines of the tables; of a part, those with audio, and those outside the root, to be refused."""
    root, utterances = request.root, read(request.root)
    if request.partial:
        utterances = {
            split: [one for one in listed if folders.is_file(one.path) or ".." in one.path.parts]
            for split, listed in utterances.items()
        }
    for split, listed in utterances.items():
        if not listed:
            raise UsageError(f"{root / TABLES[split]} names no wav that is there; {CORPUS.get} again")
    files = {split: [AudioFile.at(one.path, root) for one in listed] for split, listed in utterances.items()}
    return Listing(root, files, utterances, list(_problems(root, utterances)))


def _written(listing: Listing[Tables], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Name the root to s3prl, or a folder with tables of what there is of a part."""
    root, utterances = listing.root, listing.content
    files = {file.path: file for file in listing.files}
    tables = [(root / table).read_text(encoding="utf-8") for table in TABLES.values()]
    digest = audio.listing_hash(files.values(), tables)
    place = root
    if any(len(whole) != listing.counts[split] for split, whole in read(root).items()):
        # Tables of a part name files by their whole paths.
        place = cache.resolve() / f"fluent-{texts.digest([str(root), chr(0), digest])[:12]}"
        for split, listed in utterances.items():
            rows = [(one.path, *one.slots, one.speaker) for one in listed]
            texts.write(place / TABLES[split], csv_text([(*COLUMNS, SPEAKER), *rows]))
    groups = {one.path.stem: one.speaker for one in utterances["test"]}
    return listing.prepared(digest, {"datarc.file_path": place}, groups=groups)


CORPUS = CheckedCorpus(**checks.facts("fluent_commands"), listed=_listed, written=_written)
