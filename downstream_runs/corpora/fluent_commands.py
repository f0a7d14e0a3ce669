"""Fluent Speech Commands: where it is, and whether its tables and audio are whole.

`data/{train,valid,test}_data.csv` have a line an utterance, `path` relative to the root
(`wavs/speakers/<speaker>/<utterance>.wav`) and three slots `action`, `object`, `location`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from downstream_runs.core.corpus import Corpus, PreparedData, Split, Standing
from downstream_runs.corpora import folders, markers, wavs
from upstream_arm.common.errors import UsageError

if TYPE_CHECKING:
    from pandas import DataFrame

FOLDER = "fluent_speech_commands_dataset"
"""The folder in the corpus's archive."""

TABLES: Mapping[str, str] = MappingProxyType(
    {"train": "data/train_data.csv", "dev": "data/valid_data.csv", "test": "data/test_data.csv"}
)
SLOTS = ("action", "object", "location")
COLUMNS = ("path", *SLOTS)
SPEAKER = "speakerId"

OFFICIAL_UTTERANCES: Mapping[str, int] = MappingProxyType({"train": 23_132, "dev": 3_118, "test": 3_793})
"""Utterances of each split: 30,043 in all, as the corpus's own page says."""


@dataclass(frozen=True)
class Utterance:
    """One line of a table, and its number there."""

    path: Path
    speaker: str
    slots: tuple[str, str, str]
    line: int


def find_root(data: Path) -> Path:
    """The root in `data`: DATA/fluent_speech_commands_dataset, or DATA itself if it holds a table."""
    return wavs.find(
        data,
        (FOLDER,),
        lambda path: any((path / table).is_file() for table in TABLES.values()),
        "Fluent Speech Commands, a folder that holds data/train_data.csv, and {found}; unpack the archive of "
        "Fluent Speech Commands there (fluent.ai, or its mirror on Kaggle), or try the whole path on "
        "synthetic speech with --demo",
    )


def read(root: Path, partial: bool = False) -> Mapping[str, tuple[Utterance, ...]]:
    """The lines of the three tables; UsageError for a table that s3prl would trip over.

    The tables are read as s3prl reads them, with pandas' rules for empty fields. With `partial` a corpus that
    is not made may lack audio: its lines are left out, see `write_tables`.
    """
    partial = partial and not markers.marks(root)
    return {split: _read(root, root / table, partial) for split, table in TABLES.items()}


def _read(root: Path, table: Path, partial: bool) -> tuple[Utterance, ...]:
    import pandas

    again = "unpack the tables of Fluent Speech Commands again"
    try:
        frame = pandas.read_csv(table)
    except FileNotFoundError:
        raise UsageError(f"there is no {table}, one of the three tables; {again}") from None
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UsageError(f"{table} cannot be read as a table ({_line(error)}); {again}") from None
    absent = [column for column in COLUMNS if column not in frame.columns]
    if absent:
        raise UsageError(f"{table} has no column {absent[0]}, expected {', '.join(COLUMNS)}; {again}")
    if frame.empty:
        raise UsageError(f"{table} has no line but its column names; {again}")
    _require_text(frame, table, again)
    speakers = frame[SPEAKER].astype(str) if SPEAKER in frame.columns else frame["path"]
    columns = [frame["path"], speakers, *(frame[slot] for slot in SLOTS)]
    found = tuple(
        Utterance(root / path, speaker, (action, thing, place), line)
        for line, (path, speaker, action, thing, place) in enumerate(zip(*columns, strict=True), start=2)
        if not partial or (root / path).is_file() or ".." in Path(path).parts  # that is refused
    )
    if not found:
        raise UsageError(f"{table} names no wav that is there; unpack some of its speakers' folders")
    return found


def write_tables(root: Path, utterances: Mapping[str, tuple[Utterance, ...]], folder: Path) -> Path:
    """Where s3prl is to read the tables: `root`, or `folder` with tables of what there is of a part.

    Raises UsageError if these cannot be written.
    """
    import csv
    import io

    from downstream_runs.corpora.outputs import writing
    from upstream_arm.common.files import atomic_write_text

    if all(len(read(root)[split]) == len(listed) for split, listed in utterances.items()):
        return root
    with writing(folder):
        for split, listed in utterances.items():
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow((*COLUMNS, SPEAKER))
            writer.writerows((str(one.path), *one.slots, one.speaker) for one in listed)
            atomic_write_text(folder / TABLES[split], text.getvalue())
    return folder


def _require_text(frame: DataFrame, table: Path, again: str) -> None:
    """Each field that s3prl uses is text: pandas reads an empty one, and words such as NA, as no value."""
    for column in COLUMNS:
        wrong = [index for index, value in enumerate(frame[column]) if not isinstance(value, str)]
        if wrong:
            found = frame[column].iloc[wrong[0]]
            raise UsageError(
                f"{table} line {wrong[0] + 2} has {found!r} for {column}, as pandas reads it; text was "
                f"expected ({len(wrong):,} such lines); {again}"
            )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def check(root: Path, utterances: Mapping[str, tuple[Utterance, ...]], *, decode: int | None) -> list[str]:
    """What keeps the corpus from being used, a sentence each; `decode` files of each split are decoded."""
    found = []
    known = [{utterance.slots[slot] for utterance in utterances["train"]} for slot in range(len(SLOTS))]
    for split, listed in utterances.items():
        table = root / TABLES[split]
        for utterance in listed:
            number = utterance.line
            for slot, name in enumerate(SLOTS):
                if utterance.slots[slot] not in known[slot]:
                    found.append(
                        f"{table} line {number} has {utterance.slots[slot]!r} for {name}, which no line of "
                        f"{TABLES['train']} has: the head has no output for it"
                    )
            inside = (
                utterance.path.relative_to(root).parts if utterance.path.is_relative_to(root) else ("..",)
            )
            if ".." in inside:
                found.append(f"{table} line {number} names {utterance.path}, a file in {root} was expected")
            elif not all(map(folders.belongs, inside)):
                found.append(f"{table} line {number} names {utterance.path}, which is hidden: rename it")
            folders.require_writable(utterance.path, f"{table} line {number}")
        seen: dict[tuple[str, str], int] = {}
        for utterance in listed:
            number = utterance.line
            first = seen.setdefault((utterance.path.stem, str(utterance.path)), number)
            if first != number:
                found.append(f"{table} line {number} gives {utterance.path.name} again, as line {first} does")
        found += wavs.problems([utterance.path for utterance in listed], decode, split)
    return found


def standing(root: Path, utterances: Mapping[str, tuple[Utterance, ...]], partial: bool) -> Standing:
    """What the corpus is beside the official one; UsageError as of `markers.standing`."""
    counts = [
        markers.Count(split, len(utterances[split]), official)
        for split, official in OFFICIAL_UTTERANCES.items()
    ]
    return markers.standing(root, counts, partial, "unpack Fluent Speech Commands again")


def content_hash(root: Path, utterances: Mapping[str, tuple[Utterance, ...]]) -> str:
    """Over the names and sizes of the audio and the tables."""
    files = {utterance.path for listed in utterances.values() for utterance in listed}
    texts = [(root / table).read_text(encoding="utf-8") for table in TABLES.values()]
    return wavs.listing_hash(root, files, texts)


def look(data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False) -> Standing:
    """Hold Fluent Speech Commands under `data` against its tables and counts."""
    return _checked(data, partial, decode=0)[2]


def _checked(
    data: Path, partial: bool, decode: int
) -> tuple[Path, Mapping[str, tuple[Utterance, ...]], Standing]:
    """The root, the utterances of each split, and what the corpus is."""
    root = find_root(data).resolve()
    utterances = read(root, partial)
    made = markers.labels(root)
    found = standing(root, utterances, partial)
    wavs.require_good(
        check(root, utterances, decode=decode),
        f"delete {root} and make the {' and '.join(made)} corpus again"
        if made
        else "unpack Fluent Speech Commands again, or try the path first with --demo",
    )
    return root, utterances, found


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find Fluent Speech Commands under `data` and check its tables and audio."""
    root, utterances, found = _checked(data, partial, decode=8)
    digest = content_hash(root, utterances)
    # Tables of a part name files by their whole paths.
    place = hashlib.sha256(f"{root}\0{digest}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
    tables = write_tables(root, utterances, cache.resolve() / f"fluent-{place}")
    return PreparedData(
        root=root,
        settings={"datarc.file_path": str(tables)},
        utterances={split: len(listed) for split, listed in utterances.items()},
        audio=tuple(utterance.path for listed in utterances.values() for utterance in listed),
        sha256=digest,
        **found.facts,
        groups={utterance.path.stem: utterance.speaker for utterance in utterances["test"]},
    )


def _make_demo(folder: Path) -> Path:
    """The synthetic corpus in Fluent Speech Commands' layout, made in `folder`."""
    from downstream_runs.corpora.demo import fluent_commands

    return fluent_commands.make(folder)


CORPUS = Corpus(
    name="Fluent Speech Commands",
    licence="Fluent Speech Commands Public License (academic research)",
    size="1.5 GB",
    url="https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/",
    splits={"train": Split(23_132, 14.7), "dev": Split(3_118, 1.9), "test": Split(3_793, 2.4)},
    look=look,
    prepare=prepare,
    make_demo=_make_demo,
)
