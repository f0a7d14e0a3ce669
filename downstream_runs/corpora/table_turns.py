"""A table of recordings and RTTM files of who speaks when, as s3prl's diarization reads them.

The RTTM file of a row may be of that recording alone or of many; its lines name a recording by its file
without the ending.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.audio import AudioProblem
from downstream_runs.core.corpus import Problem
from downstream_runs.corpora import audio, kaldi, table_corpus, table_view, tables, texts
from downstream_runs.corpora.kaldi import Recording, Segment
from downstream_runs.corpora.librimix import LENGTH_TOLERANCE
from downstream_runs.corpora.tables import Row, Source, Table
from downstream_runs.scoring import rttm
from downstream_runs.scoring.names import ScoringError
from downstream_runs.scoring.rttm import Turn
from upstream_arm.common.files import sha256_file

REFERENCE = "rttm"
"""The column with the RTTM files."""

MOST_SPEAKERS = 6
"""Of a recording: s3prl's loss tries every order of the speakers, 720 of these."""

PIECE = 1.0
"""Seconds of a longer turn that are told to s3prl at a time: it takes a stretch that begins before a chunk of
a recording and ends after it for silence."""

Turns = Mapping[str, Mapping[str, list[Turn]]]
"""RTTM file, as the table names it -> recording -> its turns."""


def pinned(table: Table) -> str:
    """SHA-256 over the RTTM files that a table names; one that cannot be read is told by `judged`."""
    found = []
    for name in sorted({row.answer for row in table.rows}):
        try:
            found.append(f"{name} {sha256_file(table.path.parent / name)}\n")
        except OSError:
            found.append(f"{name}\n")
    return texts.digest(found)


def judged(source: Source, table: Table) -> Iterator[str]:
    """See `Judged`: RTTM files that do not fit the recordings; names of speakers in two splits."""
    if pinned(table) != source.also_sha256:
        yield Problem(f"the RTTM files of {source.path} are not what they were", "start the run anew")
    turns: dict[str, dict[str, list[Turn]]] = {}
    places = {row.answer: row.place for row in reversed(table.rows)}
    for name in dict.fromkeys(row.answer for row in table.rows):
        try:
            turns[name] = rttm.read(table.path.parent / name)
        except (ScoringError, OSError) as error:
            yield Problem(f"{places[name]} names the RTTM file {name}: {error}")
    stems = Counter((row.answer, Path(row.path).stem) for row in table.rows)
    for row in table.rows:
        if row.answer in turns:
            yield from _of_recording(table, row, turns, stems[row.answer, Path(row.path).stem])
    yield from table_corpus.leaks(source, table, lambda row: {turn.speaker for turn in _spoken(row, turns)})
    if all(len({turn.speaker for turn in _spoken(row, turns)}) < 2 for row in table.rows):
        yield "no recording has two speakers: this is the detection of speech"


def _spoken(row: Row, turns: Turns) -> list[Turn]:
    return turns.get(row.answer, {}).get(Path(row.path).stem, [])


def _of_recording(table: Table, row: Row, turns: Turns, same: int) -> Iterator[Problem]:
    """What is wrong with the turns of a recording. same: rows that take the turns of this name."""
    spoken, name = _spoken(row, turns), Path(row.path).stem
    if not spoken:
        others = ", ".join(sorted(turns[row.answer])[:3])
        yield Problem(
            f"{row.place}: {row.answer} has no turn of {name}, it has those of {others}; one at least was "
            "expected",
            "name recordings there as the files without their endings, or remove the line",
        )
    if same > 1:
        yield Problem(f"{row.place}: {same} files are called {name} in {row.answer}", "rename them")
    speakers = {turn.speaker for turn in spoken}
    if len(speakers) > MOST_SPEAKERS:
        yield Problem(
            f"{row.place}: {name} has {len(speakers)} speakers in {row.answer}, at most {MOST_SPEAKERS} were "
            "expected: s3prl's loss tries every order of them",
            "cut it into shorter recordings",
        )
    try:
        seconds = audio.length(table.path.parent / row.path) / audio.SAMPLE_RATE
    except AudioProblem:  # which is told of the file
        return
    last = max((turn.end for turn in spoken), default=0.0)
    if last > seconds + LENGTH_TOLERANCE:
        yield Problem(
            f"{row.place}: a turn in {row.answer} ends at {last:.3f} s, and {name} lasts {seconds:.3f} s",
            "correct its times",
        )


def written(
    source: Source, table: Table, folder: Path, links: Mapping[str, Path], config: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, int], tuple[str, ...]]:
    """A Kaldi-style folder of each split, and as many speakers as the recording with most of them has."""
    turns = {name: rttm.read(table.path.parent / name) for name in {row.answer for row in table.rows}}
    names = table_view.named(row.path for row in table.rows)
    place = folder / f"turns-{source.also_sha256[:16]}"
    for split in tables.SPLITS:
        rows = table.of(split)
        recordings = [_recording(names[row.path], links[row.path], _spoken(row, turns)) for row in rows]
        for name, text in kaldi.tables_of(recordings).items():
            if name != "rttm":  # whose turns are whole
                texts.write(place / split / name, text)
        rttm.write(place / split / "rttm", {names[row.path]: _spoken(row, turns) for row in rows})
    most = max(len({turn.speaker for turn in _spoken(row, turns)}) for row in table.rows)
    settings = {f"loaderrc.{split}_dir": str(place / split) for split in tables.SPLITS}
    counts = {split: len(table.of(split)) for split in tables.SPLITS}
    return {**settings, "datarc.num_speakers": most}, counts, ()


def _recording(name: str, file: Path, spoken: Sequence[Turn]) -> Recording:
    pieces = [(turn.speaker, start, end) for turn in spoken for start, end in _pieces(turn)]
    segments = tuple(Segment(f"{name}_{number:06d}", *piece) for number, piece in enumerate(pieces))
    return Recording(name, file, audio.length(file) / audio.SAMPLE_RATE, segments)


def _pieces(turn: Turn) -> Iterator[tuple[float, float]]:
    """Start and end, in seconds, of stretches that make up a turn."""
    start = turn.start
    while turn.end - start > PIECE:
        yield start, start + PIECE
        start += PIECE
    yield start, turn.end
