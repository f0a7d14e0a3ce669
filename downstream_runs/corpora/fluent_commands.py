"""Fluent Speech Commands: three tables, and the audio that they name.

`data/{train,valid,test}_data.csv` have a line an utterance, `path` relative to the root
(`wavs/speakers/<speaker>/<utterance>.wav`) and three slots `action`, `object`, `location`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData, Split
from downstream_runs.corpora import audio, folders, texts
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

GET = "unpack the archive of Fluent Speech Commands (fluent.ai, or its mirror on Kaggle)"


@dataclass(frozen=True)
class Utterance:
    """One line of a table: where it stands, its file, speaker and slots."""

    place: str
    path: Path
    speaker: str
    slots: tuple[str, ...]


def read(root: Path, partial: bool = False) -> dict[str, list[Utterance]]:
    """The lines of the three tables; UsageError for a table that s3prl would trip over.

    The tables are read as s3prl reads them, with pandas' rules for empty fields. With `partial` lines without
    audio are left out.
    """
    found = {split: list(_read(root, root / table)) for split, table in TABLES.items()}
    if partial:  # A path that leaves the root stays: it is refused.
        found = {
            split: [one for one in listed if one.path.is_file() or ".." in one.path.parts]
            for split, listed in found.items()
        }
    for split, listed in found.items():
        if not listed:
            raise UsageError(f"{root / TABLES[split]} names no wav that is there; {GET} again")
    return found


def _read(root: Path, table: Path) -> Iterator[Utterance]:
    import pandas

    try:
        frame = pandas.read_csv(table)
    except FileNotFoundError:
        raise UsageError(f"there is no {table}, one of the three tables; {GET} again") from None
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{table} cannot be read as a table ({reason}); {GET} again") from None
    for column in COLUMNS:
        if column not in frame.columns:
            raise UsageError(f"{table} has no column {column}, expected {', '.join(COLUMNS)}; {GET} again")
        # pandas reads an empty field, and words such as NA, as no value.
        wrong = [index for index, value in enumerate(frame[column]) if not isinstance(value, str)]
        if wrong:
            raise UsageError(
                f"{table} line {wrong[0] + 2} has {frame[column].iloc[wrong[0]]!r} for {column}, as pandas "
                f"reads it; text was expected ({len(wrong):,} such lines); {GET} again"
            )
    speakers = frame[SPEAKER].astype(str) if SPEAKER in frame.columns else frame["path"]
    for line, (path, speaker, *slots) in enumerate(
        zip(frame["path"], speakers, *(frame[slot] for slot in SLOTS), strict=True), start=2
    ):
        yield Utterance(f"{table} line {line}", root / path, speaker, tuple(slots))


def _problems(root: Path, utterances: Mapping[str, Sequence[Utterance]]) -> Iterator[str]:
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


def _listed(request: Request) -> Listing[dict[str, list[Utterance]]]:
    utterances = read(request.root, request.partial)
    files = {
        split: [AudioFile.at(one.path, request.root) for one in listed]
        for split, listed in utterances.items()
    }
    counts = {split: len(listed) for split, listed in utterances.items()}
    return Listing(request.root, counts, files, utterances, list(_problems(request.root, utterances)))


def _written(
    listing: Listing[dict[str, list[Utterance]]], cache: Path, config: Mapping[str, Any]
) -> PreparedData:
    """Name the root to s3prl, or a folder with tables of what there is of a part."""
    root, utterances = listing.root, listing.content
    files = {file.path: file for listed in listing.audio.values() for file in listed}
    tables = [(root / table).read_text(encoding="utf-8") for table in TABLES.values()]
    digest = audio.listing_hash(files.values(), tables)
    place = root
    if any(len(whole) != listing.counts[split] for split, whole in read(root).items()):
        # Tables of a part name files by their whole paths.
        name = hashlib.sha256(f"{root}\0{digest}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
        place = cache.resolve() / f"fluent-{name}"
        for split, listed in utterances.items():
            rows = [(one.path, *one.slots, one.speaker) for one in listed]
            texts.write(place / TABLES[split], csv_text([(*COLUMNS, SPEAKER), *rows]))
    return PreparedData(
        root=root,
        settings={"datarc.file_path": str(place)},
        utterances=listing.counts,
        sha256=digest,
        groups={one.path.stem: one.speaker for one in utterances["test"]},
    )


def _is_root(root: Path) -> bool:
    return any((root / table).is_file() for table in TABLES.values())


CORPUS = CheckedCorpus(
    name="Fluent Speech Commands",
    licence="Fluent Speech Commands Public License (academic research)",
    size="1.5 GB",
    url="https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/",
    # Lugosch et al. 2019, table 1.
    splits={"train": Split(23_132, 14.7), "dev": Split(3_118, 1.9), "test": Split(3_793, 2.4)},
    demo="downstream_runs.corpora.demo.fluent_commands",
    title="Fluent Speech Commands",
    get=GET,
    places=(FOLDER,),
    holds=_is_root,
    sign="data/train_data.csv",
    # 30,043 in all, as the corpus's own page says.
    official={"train": 23_132, "dev": 3_118, "test": 3_793},
    listed=_listed,
    written=_written,
    decoded=8,
)
