"""A table of one's own as a corpus: a row an utterance, read, divided into splits, and checked.

A CSV file (TSV with the ending `.tsv`) whose first line names the columns: `path`, relative to the table; the
answer (`label` or `transcript`, as the kind of task says); `split` (train, dev or valid, test), or `fold` for
cross-validation; `speaker` where it is known. Other columns are left alone.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import Corpus, PreparedData, Problem, Split, Standing
from downstream_runs.corpora import audio, checks, folders, table_view, texts
from downstream_runs.corpora.audio import AudioFile
from upstream_arm import listings
from upstream_arm.common.errors import UsageError
from upstream_arm.common.reading import TABLE_BYTES, read_bytes
from upstream_arm.common.stages import stage
from upstream_arm.common.words import near

SPLITS = ("train", "dev", "test")
CALLED: Mapping[str, str] = {
    **{split: split for split in SPLITS},
    **dict.fromkeys(("valid", "validation", "val"), "dev"),
}
"""Names of splits in tables, and what they are called here."""

SHARES = {"test": 0.2, "dev": 0.1}
"""Of the utterances at least, where a table is divided here; the rest is for training."""

MEASURED = 64
"""Files whose headers tell how long an utterance is on average, for estimates."""

FEWEST_FOLDS = 2


@dataclass(frozen=True)
class Row:
    """An utterance. split: as SPLITS, empty in a table with folds; fold: `fold1`, ...; speaker: or empty."""

    place: str
    path: str
    answer: str
    speaker: str
    split: str
    fold: str


@dataclass(frozen=True)
class Table:
    """A table that was read. folds: the names of its folds, in the order `fold1`, ...; none for splits."""

    path: Path
    rows: tuple[Row, ...]
    sha256: str
    folds: tuple[str, ...] = ()

    def of(self, split: str) -> list[Row]:
        """The rows of a split."""
        return [row for row in self.rows if row.split == split]

    @property
    def lines(self) -> list[str]:
        """All that it says, and how it is divided, for a hash."""
        return [self.sha256, *(f"{row.path}\t{row.split}{row.fold}\t{row.answer}\n" for row in self.rows)]


@dataclass(frozen=True)
class Source:
    """Where a table is and how it is divided, which is all that a run needs to know of it.

    answer: the column with what is to be said of an utterance. split_by: the column of which rows with the
    same value stay in one split, for a table without splits; split_seed: what draws them. trials: of speaker
    verification.
    """

    path: Path
    answer: str
    split_by: str = ""
    split_seed: int = 0
    trials: Path | None = None
    trials_sha256: str = ""

    @property
    def again(self) -> str:
        """What to do about a table that cannot be used."""
        return f"correct {self.path.name} and start again"


def read(source: Source) -> Table:
    """The table with a split or fold for each row; UsageError, which names the line, if it cannot be used."""
    path = source.path
    try:
        content = read_bytes(path, TABLE_BYTES)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(
            f"the table {path} cannot be read ({reason}); name a CSV file with --table"
        ) from None
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header, *lines = ((reader.line_num, cells) for cells in reader if any(cells))
    except (ValueError, csv.Error) as error:
        reason = str(error) if isinstance(error, csv.Error) else "it is empty"
        raise UsageError(f"{path} is no table ({reason}); {source.again}") from None
    names = [name.strip() for name in header[1]]
    _require_columns(source, names)
    places = [(f"{path} line {number}", cells) for number, cells in lines]
    cells = [(place, _cells(source, place, names, values)) for place, values in places]
    if not cells:
        raise UsageError(f"{path} has no rows below its names of columns; {source.again}")
    folds = () if "fold" not in names or source.split_by else _in_order({one["fold"] for _, one in cells})
    drawn = _drawn([one[source.split_by] for _, one in cells], source) if source.split_by else {}
    rows = tuple(_row(source, place, one, folds, drawn) for place, one in cells)
    _require_once(source, rows)
    return Table(path, rows, hashlib.sha256(content).hexdigest(), folds)


def _require_columns(source: Source, names: Sequence[str]) -> None:
    """UsageError for a column too few, and for two of one name."""
    listed = ", ".join(names)
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise UsageError(f"{source.path} has two columns {twice[0]!r} in {listed}; {source.again}")
    needed = ["path", source.answer, *([source.split_by] if source.split_by else [])]
    for name in needed:
        if name not in names:
            raise UsageError(
                f"{source.path} has no column {name}{near(name, names)}; its first line is {listed}, "
                f"expected path, {source.answer}, split (or fold) and, where they are known, speaker"
            )
    divided = [name for name in ("split", "fold") if name in names]
    if not divided and not source.split_by:
        raise UsageError(
            f"{source.path} has neither a column split nor fold: add one, or have it divided with "
            f"--split-by {'speaker' if 'speaker' in names else 'path'}"
        )
    if len(divided) == 2 and not source.split_by:
        raise UsageError(f"{source.path} has both a column split and fold, one was expected; remove one")


def _cells(source: Source, place: str, names: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    if len(values) != len(names):
        raise UsageError(f"{place} has {len(values)} cells, {len(names)} were expected; {source.again}")
    cells = dict(zip(names, (value.strip() for value in values), strict=True))
    divided = [source.split_by] if source.split_by else [n for n in ("split", "fold") if n in cells]
    for name in ("path", source.answer, *divided, *(["speaker"] if "speaker" in cells else [])):
        if not cells[name]:
            raise UsageError(f"{place} has no {name}; fill it in, or remove the line")
        folders.require_writable(cells[name], place)
    return cells


def _row(
    source: Source, place: str, cells: Mapping[str, str], folds: Sequence[str], drawn: Mapping[str, str]
) -> Row:
    if source.split_by:
        split, fold = drawn[cells[source.split_by]], ""
    elif folds:
        split, fold = "", f"fold{folds.index(cells['fold']) + 1}"
    else:
        split, fold = CALLED.get(cells["split"].lower(), ""), ""
        if not split:
            raise UsageError(
                f"{place} has the split {cells['split']!r}, expected train, dev (or valid) or test; "
                f"{source.again}"
            )
    return Row(place, cells["path"], cells[source.answer], cells.get("speaker", ""), split, fold)


def _in_order(names: set[str]) -> tuple[str, ...]:
    """Names with numbers in them in the order of these: 2 before 10."""

    def key(name: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]

    return tuple(sorted(names, key=lambda name: (key(name), name)))


def _drawn(values: Sequence[str], source: Source) -> dict[str, str]:
    """Value -> its split: in an order drawn by the seed, test and dev until they have their shares."""
    counts = Counter(values)
    if len(counts) < len(SPLITS):
        raise UsageError(
            f"{source.path} has {len(counts)} different values in {source.split_by}, at least {len(SPLITS)} "
            "were expected, one for each split; take another column for --split-by"
        )

    def drawn(value: str) -> bytes:
        return hashlib.sha256(f"{source.split_seed}\n{value}".encode()).digest()

    left, found = sorted(counts, key=drawn), {}
    for split, share in SHARES.items():
        taken = 0
        # One at least is left for each split that comes after.
        while left[len(SPLITS) - 1 - list(SHARES).index(split) :] and taken < share * len(values):
            value = left.pop(0)
            found[value] = split
            taken += counts[value]
    return {**dict.fromkeys(left, "train"), **found}


def _require_once(source: Source, rows: Sequence[Row]) -> None:
    """UsageError for a file that two rows name."""
    seen: dict[str, Row] = {}
    for row in rows:
        other = seen.setdefault(os.path.normpath(row.path), row)
        if other is not row:
            line = other.place.rpartition(" ")[2]
            raise UsageError(f"{row.place} names {row.path} again, as line {line} does; remove one of them")


def said(source: Source, table: Table) -> Iterator[str]:
    """What a reader of the numbers must know of the table: above all, speakers in two splits."""
    speakers = {row.speaker for row in table.rows}
    if speakers == {""}:
        yield "the table names no speakers, so that none is known to be in one split only"
        return
    if source.answer != "speaker" and all(row.speaker == row.answer for row in table.rows):
        return  # speakers are the classes
    of: dict[str, set[str]] = {part: set() for part in parts(table)}
    for row in table.rows:
        of[row.split or row.fold].add(row.speaker)
    if table.folds:
        often = Counter(name for names in of.values() for name in names)
        yield from _leak(speakers, {name for name in often if often[name] > 1}, "folds")
    else:
        for part in SPLITS[1:]:
            yield from _leak(of[part], of[part] & of["train"], f"{part} and train")


def _leak(speakers: set[str], shared: set[str], where: str) -> Iterator[str]:
    if shared:
        names = ", ".join(sorted(shared)[:3]) + (", ..." if len(shared) > 3 else "")
        yield (
            f"{len(shared)} of {len(speakers)} speakers are in several of {where} ({names}): the numbers "
            "do not tell how well it works for new speakers"
        )


def parts(table: Table) -> list[str]:
    """The names of its folds or splits."""
    return [f"fold{number}" for number in range(1, len(table.folds) + 1)] or list(SPLITS)


def require_splits(source: Source, table: Table) -> None:
    """UsageError for a split without rows, or a single fold."""
    if table.folds:
        if len(table.folds) < FEWEST_FOLDS:
            raise UsageError(f"{table.path} has one fold, at least two were expected; {source.again}")
        return
    for split in SPLITS:
        if not table.of(split):
            raise UsageError(
                f"{table.path} has no row of {split}, and one of each split is needed: {', '.join(SPLITS)}; "
                f"{source.again}, or without a column split have it divided with --split-by"
            )


Written = Callable[
    [Source, Table, Path, Mapping[str, Path], Mapping[str, Any]],
    tuple[Mapping[str, Any], Mapping[str, int], tuple[str, ...]],
]
"""(source, table, folder, links, configuration) -> what s3prl must be told, utterances of each split, and
what must be said of them."""


@dataclass(frozen=True)
class TableCorpus(Corpus):
    """The corpus of a task of one's own.

    sha256: of the table as the command read it. judged(source, table): UsageError for rows that the kind of
    task cannot use, and sentences on others. written: writes what s3prl reads.
    """

    source: Source
    sha256: str
    judged: Callable[[Source, Table], Iterator[str]]
    written: Written

    def look(
        self, data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
    ) -> Standing:
        """See `Corpus`."""
        return self._checked()[2]

    def prepare(
        self, data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False
    ) -> PreparedData:
        """See `Corpus`: each file is decoded to its end once, and again only where it has changed."""
        table, files, standing = self._checked()
        key = texts.digest([str(table.path.parent)])[:16]
        lengths = cache / "tables" / f"lengths-{key}.txt"
        with stage(f"checking the audio of {table.path.name}"):
            _, problems = audio.measure(files, audio.decode, lengths, "decode the table's audio")
            remedy = "make it a file of 16 kHz and one channel, or remove its line"
            checks.require_none([Problem(one, remedy) for one in problems], self.source.again)
        folder, links = table_view.view(table.path, [row.path for row in table.rows], table.lines, cache)
        settings, utterances, also = self.written(self.source, table, folder, links, config)
        names = table_view.named(row.path for row in table.rows)
        groups = {name: row.speaker or name for row, name in zip(table.rows, names.values(), strict=True)}
        groups |= {
            number: speaker
            for speaker, number in table_view.numbered(row.speaker for row in table.rows).items()
        }
        return PreparedData(
            root=table.path,
            settings=settings,
            utterances=utterances,
            sha256=audio.listing_hash(files, [*table.lines, self.source.trials_sha256]),
            audio=tuple(file.path for file in files),
            groups=groups,
            **standing.and_also(also).facts,
        )

    def make_demo(self, folder: Path) -> Path:
        """There is none; UsageError."""
        raise UsageError("--demo is for the tasks of SUPERB: a table is its own data, leave --demo out")

    def _checked(self) -> tuple[Table, list[AudioFile], Standing]:
        """The table, its files, and what must be said of it, which is said here too."""
        listings.look_again()
        table = read(self.source)
        if table.sha256 != self.sha256:
            raise UsageError(
                f"{table.path} is not the table that it was: its SHA-256 is {table.sha256}, expected "
                f"{self.sha256}; start the run anew with the table that there is"
            )
        require_splits(self.source, table)
        found = (*self.judged(self.source, table), *said(self.source, table))
        root = table.path.parent
        files = [AudioFile.at(root / row.path, name=row.path) for row in table.rows]
        absent = [
            Problem(f"{row.place} names {row.path}, and there is no such file in {root}")
            for row, file in zip(table.rows, files, strict=True)
            if file.size is None
        ]
        checks.require_none(absent, self.source.again)
        for sentence in found:
            print(f"WARNING: {table.path.name}: {sentence}", file=sys.stderr)
        return table, files, Standing(deviations=found)


def sizes(table: Table) -> dict[str, Split]:
    """How large its splits are, of folds where the largest is held out; lengths are those of some files."""
    counts = Counter(row.split for row in table.rows)
    if table.folds:
        test = max(Counter(row.fold for row in table.rows).values())
        counts = Counter({"train": len(table.rows) - test, "test": test})
    seconds = _mean_seconds([table.path.parent / row.path for row in table.rows])
    return {split: Split.of_mean(counts[split], seconds) for split in SPLITS if counts[split]}


def _mean_seconds(files: Sequence[Path]) -> float:
    """The mean length of some of the files, by their headers; 5 s where none can be read."""
    from downstream_runs.audio import AudioProblem

    known = []
    for path in audio.spread(files, MEASURED):
        try:
            known.append(audio.length(path) / audio.SAMPLE_RATE)
        except AudioProblem:
            continue
    return sum(known) / len(known) if known else 5.0
