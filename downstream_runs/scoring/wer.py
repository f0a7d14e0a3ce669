"""Word, phone and character error rate as SUPERB counts them.

Definition: the edit distance (substitutions, insertions and deletions cost 1 each) of each utterance, summed
over all utterances, divided by the summed reference length. Source: `wer`, `cer` and `ter` in s3prl 0.4.18's
`s3prl/metric/common.py`, and `backend/inference/metric.py` of the SUPERB leaderboard
(github.com/superbbenchmark/website-react); tests/data/scoring/SOURCES.md says how values are checked.

Text is compared as it stands: no change of case, punctuation or Unicode form. PER is the WER of phones with
spaces between them, as `per` is `wer` in both sources: no phone is merged with another or left out, stress
marks and silences count as they stand.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from downstream_runs.scoring.counts import ErrorCounts
from downstream_runs.scoring.distance import edit_distance
from downstream_runs.scoring.inputs import lines, short
from downstream_runs.scoring.names import ScoringError, same

Unit = Literal["word", "char"]


def tokens(text: str, unit: Unit) -> list[str]:
    """Split one transcript: words at every single space, or characters (Unicode code points, with spaces).

    As in s3prl's and the leaderboard's scorers, two spaces in a row enclose an empty word, which counts.
    An empty transcript has no word, as in the evaluation that s3prl runs while it trains ASR; those scorers
    see one empty word. This matters only where a reference is empty (length 1 there, 0 here) or itself holds
    an empty word.
    """
    if unit == "char":
        return list(text)
    if unit == "word":
        return text.split(" ") if text else []
    raise ValueError(f"unit is {unit!r}, 'word' or 'char' was expected")


def score(ref: Mapping[str, str], hyp: Mapping[str, str], unit: Unit = "word") -> ErrorCounts:
    """Count the edit errors of `hyp` against `ref`, both utterance name -> transcript.

    An empty hypothesis counts its reference as deleted; an empty reference adds its hypothesis as insertions
    and nothing to the length. Raises ScoringError when an utterance is in only one of the two (the
    leaderboard scores the utterances that were sent in and ignores the rest).
    """
    same(ref, hyp)
    errors = length = wrong = 0
    for name, reference in ref.items():
        expected = tokens(reference, unit)
        distance = edit_distance(expected, tokens(hyp[name], unit))
        errors += distance
        length += len(expected)
        wrong += distance > 0
    return ErrorCounts(errors=errors, length=length, utterances=len(ref), wrong_utterances=wrong)


def read_transcripts(path: Path) -> dict[str, str]:
    """Read `*.tsv` with `read_tsv`, `*.csv` with `read_csv`, any other file with `read_ark`."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        return read_csv(path)
    return read_tsv(path) if name.endswith(".tsv") else read_ark(path)


def read_ark(path: Path) -> dict[str, str]:
    """Read s3prl's text `.ark` (`.gz` allowed): a line is `name words ...`; `name ` is an empty transcript.

    Everything after the first space belongs to the transcript, less white space at the line's end, as the
    leaderboard reads it. Blank lines are skipped. Raises ScoringError for a file that is absent, holds no
    transcript, is not UTF-8 text, or names an utterance twice (the leaderboard keeps the last one).
    """
    return _collect(path, " ", "'NAME WORDS ...'")


def read_tsv(path: Path) -> dict[str, str]:
    """Read `name<TAB>transcript` lines (`.gz` allowed); errors as in `read_ark`."""
    return _collect(path, "\t", "'NAME<TAB>WORDS ...'")


def read_csv(path: Path) -> dict[str, str]:
    """Read `name,text` lines (`.gz` allowed); errors as in `read_ark`.

    Cells in quotation marks are read without them. All cells after the first are the text, with the commas
    between them, as s3prl writes the three slots of an intent. A cell cannot hold the end of a line.
    """
    return _collect(path, ",", "'NAME,TEXT'")


def _collect(path: Path, separator: str, form: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in lines(path):
        parted = _parted(line, separator)
        if parted is None or not parted[0]:
            raise ScoringError(
                f"{path}, line {number}: {short(line)} is not of the form {form} "
                "(name tab-separated files .tsv, comma-separated ones .csv, s3prl's .ark; also .gz)"
            )
        name, text = parted
        if name in found:
            raise ScoringError(
                f"{path}, line {number}: utterance {short(name)} is there twice, once was expected"
            )
        found[name] = text
    if not found:
        raise ScoringError(f"{path} holds no transcript, lines of the form {form} were expected")
    return found


def _parted(line: str, separator: str) -> tuple[str, str] | None:
    """Name and text at the first separator; None for a line of another format.

    A name with another format's separator tells that, but in csv, where names may hold spaces: there it is
    that a line has no comma.
    """
    if separator != ",":
        name, _, text = line.partition(separator)
        return None if " " in name or "\t" in name else (name, text)
    try:
        cells = next(csv.reader([line], strict=True))
    except csv.Error:  # such as a quotation mark that is not closed
        return None
    return (cells[0], ",".join(cells[1:])) if len(cells) > 1 else None


def empty_words(texts: Iterable[str]) -> int:
    """How many transcripts hold an empty word: a leading or doubled space."""
    return sum("" in tokens(text, "word") for text in texts)
