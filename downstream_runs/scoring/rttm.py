"""Speaker turns as RTTM files hold them, and the scored regions of a UEM file.

An RTTM line is `SPEAKER FILE CHANNEL START DURATION <NA> <NA> SPEAKER <NA> <NA>`, a UEM line is `FILE CHANNEL
START END`; times are in seconds. Source: NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition
Evaluation Plan", appendix A. Other kinds of RTTM line (SPKR-INFO, LEXEME, NON-LEX, ...) and comments (`;;`)
are skipped: md-eval takes NON-LEX zones out of the scored region, dscore and this do not read them. Channels
are not told apart, as in dscore.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.scoring.inputs import lines, number, short
from downstream_runs.scoring.names import ScoringError
from upstream_arm.common.files import atomic_write_text

#: Seconds, eleven days: dscore's longest recording (MAX_SESSION_DUR), beyond which it scores nothing either.
LATEST = 1e6
FINE = 1e-4  # milliseconds from a whole number; less is the rounding of floats


@dataclass(frozen=True)
class Turn:
    """One speaker speaks from `start` to `end`, in seconds from the beginning of the file.

    Raises ValueError for times that are negative, beyond LATEST, or in the wrong order.
    """

    speaker: str
    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= LATEST:
            raise ValueError(
                f"a turn of {self.speaker!r} runs from {self.start} to {self.end} s, "
                f"0 or a later start and a later end up to {LATEST:.0f} were expected"
            )


def read(path: Path) -> dict[str, list[Turn]]:
    """Read an RTTM file (`.gz` allowed): file name -> its turns, in the order of the lines.

    Raises ScoringError for a file that cannot be read or holds no SPEAKER line, and for a SPEAKER line with
    fewer than 8 fields, a time that is no number, a negative start or a duration that is not above 0.
    """
    turns: dict[str, list[Turn]] = {}
    for at, fields in _records(path):
        if fields[0] != "SPEAKER":
            continue
        if len(fields) < 8:
            raise ScoringError(
                f"{path}, line {at}: {len(fields)} fields, at least 8 were expected in "
                "'SPEAKER FILE CHANNEL START DURATION <NA> <NA> NAME'"
            )
        start, duration = _seconds(path, at, fields[3:5])
        try:
            turn = Turn(fields[7], start, start + duration)
        except ValueError as error:
            raise ScoringError(f"{path}, line {at}: {error}") from None
        turns.setdefault(fields[1], []).append(turn)
    if not turns:
        raise ScoringError(f"{path} holds no SPEAKER line, an RTTM file with speaker turns was expected")
    return turns


def write(path: Path, turns: Mapping[str, Sequence[Turn]]) -> None:
    """Write the turns of all files, in order, with times in milliseconds, as one RTTM file.

    Raises ValueError for a name with white space, which the format cannot hold. A file without a turn leaves
    no line, so its name has to be kept elsewhere.
    """
    written = []
    for file, spoken in turns.items():
        for turn in spoken:
            for name in (file, turn.speaker):
                if not name or name.split() != [name]:
                    raise ValueError(f"{name!r} has white space or is empty: RTTM cannot hold such a name")
            written.append(
                f"SPEAKER {file} 1 {turn.start:.3f} {turn.end - turn.start:.3f} "
                f"<NA> <NA> {turn.speaker} <NA> <NA>\n"
            )
    atomic_write_text(path, "".join(written))


def read_uem(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Read a UEM file (`.gz` allowed): file name -> its scored regions (start, end) in seconds.

    Raises ScoringError for a file that cannot be read or holds no region, and for a region of no length.
    """
    regions: dict[str, list[tuple[float, float]]] = {}
    for at, fields in _records(path):
        if len(fields) != 4:
            raise ScoringError(
                f"{path}, line {at}: {len(fields)} fields, 4 were expected: 'FILE CHANNEL START END'"
            )
        start, end = _seconds(path, at, fields[2:4])
        if not 0 <= start < end <= LATEST:
            raise ScoringError(
                f"{path}, line {at}: {start} to {end} s is no region of a file of {LATEST:.0f} s at most"
            )
        regions.setdefault(fields[0], []).append((start, end))
    if not regions:
        raise ScoringError(f"{path} holds no region, lines 'FILE CHANNEL START END' were expected")
    return regions


def finer(turns: Mapping[str, Sequence[Turn]]) -> int:
    """How many turns have a start or a duration that is no whole number of milliseconds."""
    every = (turn for spoken in turns.values() for turn in spoken)
    return sum(_fine(turn.start) or _fine(turn.end - turn.start) for turn in every)


def _fine(seconds: float) -> bool:
    return abs(1000 * seconds - round(1000 * seconds)) > FINE


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    for at, line in lines(path):
        if not line.startswith(";"):
            yield at, line.split()


def _seconds(path: Path, line: int, fields: Sequence[str]) -> tuple[float, float]:
    first, second = map(number, fields)
    if math.isnan(first) or math.isnan(second):
        raise ScoringError(
            f"{path}, line {line}: {' and '.join(map(short, fields))} are no two times in seconds"
        )
    return first, second
