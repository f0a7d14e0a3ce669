"""A table of one's own: a row an utterance, read and divided into splits.

A CSV file (TSV with the ending `.tsv`) whose first line names the columns: `path`, relative to the table; the
answer (`label`, `rttm`, ... as the kind of task says); `split` (train, dev or valid, test), or `fold` for
cross-validation; `speaker` where it is known. Other columns are left alone.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.core.corpus import Problem
from downstream_runs.corpora import checks, folders
from upstream_arm.common.errors import UsageError
from upstream_arm.common.reading import TABLE_BYTES, read_bytes
from upstream_arm.common.words import near

SPLITS = ("train", "dev", "test")
CALLED: Mapping[str, str] = {
    **{split: split for split in SPLITS},
    **dict.fromkeys(("valid", "validation", "val"), "dev"),
}
"""Names of splits in tables, and what they are called here."""

SHARES = {"test": 0.2, "dev": 0.1}
"""Of the utterances at least, where a table is divided here; the rest is for training."""


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
    verification. also_sha256: of what belongs to the table beside audio, the trials or the RTTM files.
    """

    path: Path
    answer: str
    split_by: str = ""
    split_seed: int = 0
    trials: Path | None = None
    also_sha256: str = ""

    @property
    def again(self) -> str:
        """What to do about a table that cannot be used."""
        return f"correct {self.path.name} and start again"


def read(source: Source) -> Table:
    """The table with a split or fold for each row; UsageError, which names the line, if it cannot be used."""
    table, faults = parsed(source)
    checks.require_none(faults, source.again)
    return table


def parsed(source: Source) -> tuple[Table, list[Problem]]:
    """What can be used of a table, and all that is wrong with its columns or else with its rows.

    UsageError for a file that is no table.
    """
    sha256, names, lines = _contents(source)
    path = source.path
    table = Table(path, (), sha256)
    faults = list(_of_columns(source, names))
    if faults:
        return table, faults
    if not lines:
        raise UsageError(f"{path} has no rows below its names of columns; {source.again}")
    cells: list[tuple[str, dict[str, str]]] = []
    for number, values in lines:
        place = f"{path} line {number}"
        found = list(_of_cells(source, place, names, values))
        faults += found
        if not found:
            cells.append((place, dict(zip(names, map(str.strip, values), strict=True))))
    if source.split_by and faults:  # a division of the rows that are left would be another one
        return table, faults
    folds = () if "fold" not in names or source.split_by else _in_order({one["fold"] for _, one in cells})
    drawn = _drawn([one[source.split_by] for _, one in cells], source) if source.split_by and cells else {}
    rows = [_row(source, place, one, folds, drawn) for place, one in cells]
    faults += _of_rows(source, rows)
    return dataclasses.replace(table, rows=tuple(rows), folds=folds), faults


def columns(source: Source) -> list[str]:
    """The names of a table's columns; UsageError for a file that is no table."""
    return _contents(source)[1]


def _contents(source: Source) -> tuple[str, list[str], list[tuple[int, list[str]]]]:
    """A table's SHA-256, the names of its columns, and the number and cells of each line below these."""
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
    return hashlib.sha256(content).hexdigest(), [name.strip() for name in header[1]], lines


def _of_columns(source: Source, names: Sequence[str]) -> Iterator[Problem]:
    """Columns too few, and two of one name."""
    listed = ", ".join(names)
    for name, number in Counter(names).items():
        if number > 1:
            yield Problem(f"{source.path} has two columns {name!r} in {listed}")
    for name in ("path", source.answer, *([source.split_by] if source.split_by else [])):
        if name not in names:
            yield Problem(
                f"{source.path} has no column {name}{near(name, names)}; its first line is {listed}, "
                f"expected path, {source.answer}, split (or fold) and, where they are known, speaker"
            )
    divided = {"split", "fold"} & set(names)
    if not divided and not source.split_by:
        yield Problem(
            f"{source.path} has neither a column split nor fold",
            f"have it divided with --split-by {'speaker' if 'speaker' in names else 'path'}",
        )
    if len(divided) == 2 and not source.split_by:
        yield Problem(f"{source.path} has both a column split and fold, one was expected", "remove one")


def _of_cells(source: Source, place: str, names: Sequence[str], values: Sequence[str]) -> Iterator[Problem]:
    """A line of another number of cells, a needed cell that is empty, and one that no result could hold."""
    if len(values) != len(names):
        yield Problem(f"{place} has {len(values)} cells, {len(names)} were expected")
        return
    cells = dict(zip(names, map(str.strip, values), strict=True))
    divided = [source.split_by] if source.split_by else [n for n in ("split", "fold") if n in cells]
    for name in dict.fromkeys(
        ["path", source.answer, *divided, *(["speaker"] if "speaker" in cells else [])]
    ):
        if not cells[name]:
            yield Problem(f"{place} has no {name}", "fill it in")
        elif not folders.is_writable(cells[name]):
            yield Problem(
                f"{place} has {cells[name]!a} as its {name}, which holds a control character: no result "
                "file can hold it"
            )


def _row(
    source: Source, place: str, cells: Mapping[str, str], folds: Sequence[str], drawn: Mapping[str, str]
) -> Row:
    """A row with its split or fold; its split is as the table has it where no split is called that."""
    if source.split_by:
        split, fold = drawn[cells[source.split_by]], ""
    elif folds:
        split, fold = "", f"fold{folds.index(cells['fold']) + 1}"
    else:
        split, fold = CALLED.get(cells["split"].lower(), cells["split"]), ""
    return Row(place, cells["path"], cells[source.answer], cells.get("speaker", ""), split, fold)


def _of_rows(source: Source, rows: Sequence[Row]) -> Iterator[Problem]:
    """Splits that are none, and files that two rows name."""
    seen: dict[str, Row] = {}
    for row in rows:
        if not row.fold and row.split not in SPLITS:
            yield Problem(f"{row.place} has the split {row.split!r}, expected train, dev (or valid) or test")
        other = seen.setdefault(os.path.normpath(row.path), row)
        if other is not row:
            line = other.place.rpartition(" ")[2]
            yield Problem(f"{row.place} names {row.path} again, as line {line} does", "remove one of them")


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


def parts(table: Table) -> list[str]:
    """The names of its folds or splits."""
    return [f"fold{number}" for number in range(1, len(table.folds) + 1)] or list(SPLITS)
