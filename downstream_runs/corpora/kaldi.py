"""Kaldi-style folders for diarisation, as s3prl's dataset reads them, checked before it does.

A folder holds one line a recording in `wav.scp` (`RECORDING PATH`) and `reco2dur` (`RECORDING SECONDS`), one
line a stretch of speech in `segments` (`UTTERANCE RECORDING START END`, seconds) and `utt2spk` (`UTTERANCE
SPEAKER`), and the reference turns in `rttm`. `spk2utt` belongs to it and nothing here needs it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.corpora import folders, texts
from upstream_arm.common.errors import UsageError

TABLES: tuple[str, ...] = ("wav.scp", "segments", "utt2spk", "spk2utt", "reco2dur", "rttm")


@dataclass(frozen=True)
class Segment:
    """One stretch of speech: its utterance id, speaker, start and end in seconds."""

    name: str
    speaker: str
    start: float
    end: float


@dataclass(frozen=True)
class Recording:
    """One file with all its speech; `seconds` is what `reco2dur` says."""

    name: str
    audio: Path
    seconds: float
    segments: tuple[Segment, ...]


def tables_of(recordings: Sequence[Recording]) -> dict[str, str]:
    """The six tables of a folder by their names.

    Numbers are written in full, as SUPERB's recipe does (LibriMix, scripts/prepare_diarization.py).
    """
    speakers: dict[str, list[str]] = {}
    lines: dict[str, list[str]] = {name: [] for name in TABLES}
    for recording in recordings:
        lines["wav.scp"].append(f"{recording.name} {recording.audio}")
        lines["reco2dur"].append(f"{recording.name} {recording.seconds}")
        for segment in recording.segments:
            lines["segments"].append(f"{segment.name} {recording.name} {segment.start} {segment.end}")
            lines["utt2spk"].append(f"{segment.name} {segment.speaker}")
            lines["rttm"].append(
                f"SPEAKER\t{recording.name}\t1\t{segment.start}\t{segment.end - segment.start}"
                f"\t<NA>\t<NA>\t{segment.speaker}\t<NA>"
            )
            speakers.setdefault(segment.speaker, []).append(recording.name)
    lines["spk2utt"] = [f"{speaker} {' '.join(names)}" for speaker, names in speakers.items()]
    return {name: "".join(f"{line}\n" for line in table) for name, table in lines.items()}


def copies_of(source: Path, recordings: Sequence[Recording]) -> dict[str, str]:
    """The tables of `source` by their names, with the paths of `recordings` in `wav.scp`.

    s3prl would look for a relative path from wherever it was started.
    """
    there = {
        name: (source / name).read_bytes().decode("utf-8", "replace")
        for name in TABLES
        if (source / name).is_file()
    }
    return {**there, "wav.scp": tables_of(recordings)["wav.scp"]}


def read(folder: Path, speakers: int) -> tuple[Recording, ...]:
    """The recordings of `folder`, in the order of `wav.scp`.

    Raises UsageError, with file and line, for a table that is absent or unreadable, a command in `wav.scp`
    (s3prl would hand it to a shell), tables that do not fit together, a recording without speech or with more
    than `speakers` speakers, and times that are no times.
    """
    audio = _audio(folder)
    lengths = {
        name: _seconds(*line, name) for name, line in _pairs(folder, "reco2dur", "RECORDING SECONDS").items()
    }
    speaker_of = _pairs(folder, "utt2spk", "UTTERANCE SPEAKER")
    spoken: dict[str, list[Segment]] = {name: [] for name in audio}
    for place, fields in _lines(folder / "segments", "UTTERANCE RECORDING START END"):
        name, recording, *times = fields
        if recording not in spoken:
            raise UsageError(
                f"{place} is for recording {recording}, which {folder / 'wav.scp'} does not list"
            )
        if name not in speaker_of:
            raise UsageError(f"{place} names {name}, which {folder / 'utt2spk'} gives no speaker")
        first, last = (_seconds(place, time, name) for time in times)
        if first >= last:
            raise UsageError(f"{place} ends at {last} s, after its start at {first} s was expected")
        spoken[recording].append(Segment(name, speaker_of[name][1], first, last))
    for name, segments in spoken.items():
        _check(folder, name, segments, lengths.get(name), speakers)
    return tuple(Recording(name, audio[name], lengths[name], tuple(spoken[name])) for name in audio)


def _check(
    folder: Path, name: str, segments: Sequence[Segment], seconds: float | None, speakers: int
) -> None:
    if seconds is None or not segments:
        raise UsageError(
            f"{folder / ('reco2dur' if seconds is None else 'segments')} has no line for recording {name} of "
            "wav.scp; add it, or take the recording out there"
        )
    found = sorted({segment.speaker for segment in segments})
    if len(found) > speakers:
        raise UsageError(
            f"recording {name} of {folder} has {len(found)} speakers ({', '.join(found)}), "
            f"{speakers} at most were expected; take it out of wav.scp, segments and rttm"
        )
    late = next((segment for segment in segments if segment.start >= seconds), None)
    if late is not None:
        raise UsageError(
            f"{folder / 'segments'} has {late.name} start at {late.start} s, and {folder / 'reco2dur'} says "
            f"that {name} lasts {seconds} s; correct one of the two"
        )


def _audio(folder: Path) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for name, (place, value) in _pairs(folder, "wav.scp", "RECORDING PATH").items():
        if value.endswith("|") or value == "-":
            raise UsageError(
                f"{place} has a command ({value!r}), the path of a file was expected; commands are not run: "
                "write their output to wav files and name those"
            )
        folders.require_writable(value, place)
        if "/" in name or name.startswith("."):
            raise UsageError(f"{place} has the recording id {name!r}, which cannot name a file; rename it")
        paths[name] = folder / Path(value).expanduser()
    return paths


def _pairs(folder: Path, table: str, form: str) -> dict[str, tuple[str, str]]:
    """For each id of a two-column table, the place of its line and its value; an utterance's last counts."""
    pairs: dict[str, tuple[str, str]] = {}
    for place, (name, value) in _lines(folder / table, form):
        if form.startswith("RECORDING") and name in pairs:
            raise UsageError(f"{place} gives {name} a second time; keep one of the lines")
        pairs[name] = (place, value)
    return pairs


def _lines(table: Path, form: str) -> Iterator[tuple[str, list[str]]]:
    """Place and fields of each line; the second field of two may hold spaces, as s3prl reads it."""
    columns = len(form.split())
    for place, line in texts.lines(table, f"a table of lines {form} was expected: prepare the folder again"):
        fields = line.split(None, 1) if columns == 2 else line.split()
        if len(fields) != columns:
            raise UsageError(f"{place} is {line!r}, {form} was expected; correct that line")
        yield place, [field.strip() for field in fields]


def _seconds(place: str, value: str, name: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(value) < float("inf"):
            return float(value)
    raise UsageError(f"{place} gives {name} the time {value!r}, seconds from 0 on were expected; correct it")
