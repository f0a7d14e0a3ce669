"""Files of verification trials: one line for each pair of utterances that was compared.

Format: a first line that names the columns, tab-separated in `*.tsv`, comma-separated in `*.csv` (either
also `.gz`). A trial is named by the columns `enroll` and `test`, or by one column `item`; `label` is 1 for a
target and 0 for a nontarget, `score` is higher for a better match; other columns are not read.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from downstream_runs.scoring.inputs import FINITE, lines, number, short
from downstream_runs.scoring.names import ScoringError, same

NAMES = (("enroll", "test"), ("item",))


def read(path: Path, ref: Path | None = None) -> tuple[list[int], list[float]]:
    """The labels and scores of the trials in `path`, in its order; with `ref`, the labels are read there.

    Raises ScoringError for a file that cannot be read, lacks a column, names a trial twice, mixes several
    splits (column `split`), or has another label than 0 and 1 or a score that is no finite number, and for
    trials that are in only one of the two files.
    """
    scores = {name: _number(path, line, row["score"]) for name, line, row in _rows(path, "score")}
    source = ref or path
    labels = {name: _label(source, line, row["label"]) for name, line, row in _rows(source, "label")}
    same(labels, scores, "reference trials", "scored trials", "give the two files of the same trial list")
    return [labels[name] for name in scores], list(scores.values())


def _rows(path: Path, column: str) -> Iterator[tuple[str, int, Mapping[str, str]]]:
    """Name, line number and fields of every trial."""
    comma = path.name.lower().endswith((".csv", ".csv.gz"))
    table = ((at, _fields(path, at, line, "," if comma else "\t")) for at, line in lines(path))
    _, header = next(table, (0, []))
    key = next((names for names in NAMES if set(names) <= set(header)), None)
    if key is None or column not in header:
        raise ScoringError(
            f"{path} has the columns {', '.join(header)[:60] or 'of an empty file'}, a first line with "
            f"enroll, test (or item) and {column} was expected, tab-separated in .tsv, by commas in .csv"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ScoringError(f"{path} has the column {twice[0]!r} twice, once was expected")
    seen: set[str] = set()
    splits: set[str] = set()
    for at, fields in table:
        if len(fields) != len(header):
            raise ScoringError(
                f"{path}, line {at}: {len(fields)} fields, {len(header)} were expected as in line 1"
            )
        row = dict(zip(header, fields, strict=True))
        splits.add(row.get("split", ""))
        name = " ".join(row[part] for part in key)
        if len(splits) > 1:
            raise ScoringError(
                f"{path} holds trials of several splits ({', '.join(sorted(splits))}), one was expected"
            )
        if name in seen:
            raise ScoringError(f"{path}, line {at}: trial {name!r} is there twice, once was expected")
        seen.add(name)
        yield name, at, row


def _fields(path: Path, line: int, text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:  # such as a quotation mark that is not closed
        raise ScoringError(f"{path}, line {line}: {short(text)} cannot be parted ({error})") from None


def _number(path: Path, line: int, text: str) -> float:
    value = number(text)
    if math.isnan(value):
        raise ScoringError(f"{path}, line {line}: the score is {short(text)}, {FINITE}")
    return value


def _label(path: Path, line: int, text: str) -> int:
    if text not in ("0", "1"):
        raise ScoringError(
            f"{path}, line {line}: the label is {short(text)}, 1 (target) or 0 (nontarget) was expected"
        )
    return int(text)
