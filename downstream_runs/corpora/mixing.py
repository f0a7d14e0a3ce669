"""Libri2Mix for diarisation, made from LibriSpeech, WHAM! noise and the tables of s3prl's fork of LibriMix.

Only what SUPERB reads is made: `wav16k/max/*/mix_both`, its tables, and the RTTM files of the sources. The
samples are those of LibriMix's own script, see `audio.mixtures`. That script first makes slower and faster
copies of WHAM!'s noise with sox; the tables of these three splits name none of them, so they are not made.
A split's table is written once all its mixtures are there: what was killed goes on where it stopped, and
does not pass for a whole corpus.
"""

from __future__ import annotations

import math
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.audio import mixtures
from downstream_runs.audio.mixtures import Mixture, Part
from downstream_runs.core.corpus import Problem
from downstream_runs.corpora import audio, checks, folders, markers, pinned, texts
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.librimix import SPLITS
from upstream_arm.common import lock
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_bytes, csv_text

SPARE = 50_000_000
"""Bytes for the tables, and for what the file system needs beside the mixtures."""

TABLES_GB = 0.017
"""Of what is written without mixtures."""

_TABLES = Path("wav16k", "max", "metadata")
_FIELDS = ("mixture_path", "source_1_path", "source_2_path", "noise_path", "length")
_GAINS = ("source_1_gain", "source_2_gain", "noise_gain")
_PARTS = {gain: gain.replace("gain", "path") for gain in _GAINS}
_AGAIN = "take the metadata of s3prl/LibriMix as they are"
_RERUN = "then run the same command again, which keeps what is made"
_NAME = re.compile(r"\d+-\d+-\d+_\d+-\d+-\d+")

Planned = Mapping[str, Mapping[str, Mixture]]
"""Of each split, the mixtures by their names, in the order of LibriMix's table."""


@dataclass(frozen=True)
class Made:
    """Where Libri2Mix is, how many mixtures it has, and how many of them were written now."""

    root: Path
    mixtures: Mapping[str, int]
    written: int


def make(
    librispeech: Path,
    wham: Path,
    metadata: Path | None,
    target: Path,
    jobs: int | None = None,
    *,
    on_the_fly: bool = False,
    partial: bool = False,
) -> Made:
    """Make Libri2Mix in the folder `target`, or what is missing of it.

    librispeech, wham: the folders with `train-clean-100` and with `tr`, or what holds them under the usual
    names. metadata: a clone of s3prl/LibriMix; None: `target`/LibriMix if that is there, else fetched.
    jobs: mixtures at a time (default: as many as cores). on_the_fly: write no audio, but tables from which a
    run mixes what it reads. partial: leave out mixtures of which a source is not there.
    UsageError for what is absent or damaged, and where there is no room; what was made until then stays.
    """
    root = folders.place(target) / "Libri2Mix"
    if labels := markers.labels(root):
        raise UsageError(f"{root} is a {labels[0]} corpus; name another folder with --data")
    if root.is_symlink():
        raise UsageError(
            f"{root} is a link to {root.readlink()}, which is left as it is; remove the link first"
        )
    speech = _folder(librispeech, "LibriSpeech", [names.part for names in SPLITS.values()], "--librispeech")
    noise = _folder(wham, "wham_noise", ["tr", "cv", "tt"], "--wham")
    with texts.writing(root):
        root.mkdir(parents=True, exist_ok=True)
    with lock.hold(root, "--data"):
        for left in root.rglob(".*.tmp"):  # of a kill
            left.unlink()
        _place_tables(root, root.parent / "LibriMix" if metadata is None else metadata, metadata is not None)
        rows = {split: _rows(root, split, speech, noise, partial) for split in SPLITS}
        planned = _measured(rows, jobs)
        todo = _missing(root, planned)
        if on_the_fly:
            _require_no_files(root, planned, todo)
            todo = {}
        _require_room(root, planned, todo)
        # From here on it is found, and refused as long as a table is missing.
        (root / _TABLES).mkdir(parents=True, exist_ok=True)
        _mix(todo, jobs)
        for split, found in planned.items():
            _finish(root, split, found, on_the_fly)
    return Made(root, {split: len(found) for split, found in planned.items()}, len(todo))


def folder_of(root: Path, split: str) -> Path:
    """Of a split's mixtures."""
    return root / "wav16k" / "max" / SPLITS[split].mixtures / "mix_both"


def _folder(given: Path, usual: str, parts: list[str], option: str) -> Path:
    """The folder that has one of `parts`: the given one, or the one of the usual name in it."""
    given = folders.place(given)
    for folder in (given, given / usual):
        if any((folder / part).is_dir() for part in parts):
            return folder
    raise UsageError(
        f"none of {', '.join(parts)} is in {given} or {given / usual}; name the folder of {usual} with "
        f"{option}"
    )


def _place_tables(root: Path, clone: Path, required: bool) -> None:
    """LibriMix's tables in `root`: from the clone, those that are there already, or fetched."""
    for file in (file for names in SPLITS.values() for file in names.tables):
        source, place = clone / file.path, root / file.path
        if required and not source.is_file():
            raise UsageError(
                f"{source} is not there; run `{file.repository.clone}` and {file.repository.given}"
            )
        if source.is_file():
            texts.write(place, texts.read(source, _AGAIN))
        elif not place.is_file() or pinned.blob_id(place) != file.blob:
            with tempfile.TemporaryDirectory() as folder:
                texts.write(place, texts.read(pinned.obtain(file, Path(folder)), _AGAIN))


def _rows(root: Path, split: str, speech: Path, noise: Path, partial: bool) -> dict[str, tuple[Part, ...]]:
    """Sources and noise of each mixture of a split; UsageError for a row or a file that cannot be used."""
    table = root / SPLITS[split].tables[1].path
    frame = texts.table(
        table, ("mixture_ID", *_PARTS.values(), *_GAINS), _AGAIN, dtype=str, keep_default_na=False
    )
    found: dict[str, tuple[Part, ...]] = {}
    lacking: list[Problem] = []
    for line, row in enumerate(frame.to_dict("records"), start=2):
        name, parts = row["mixture_ID"], _parts(row, f"{table} line {line}", speech, noise)
        if not _NAME.fullmatch(name) or name in found:
            raise UsageError(f"{table} line {line} has the id {name!r} wrongly or a second time; {_AGAIN}")
        absent = [Problem(f"{part.path} is not there") for part in parts if not folders.is_file(part.path)]
        lacking += absent
        if not absent:
            found[name] = parts
    if not partial:
        checks.require_none(
            lacking, f"get the rest, {_RERUN}, or add {markers.OPTION} to leave out what needs it"
        )
    return found


def _parts(row: Mapping[Any, Any], place: str, speech: Path, noise: Path) -> tuple[Part, ...]:
    parts = []
    for column, path in _PARTS.items():
        gain = _gain(row[column])
        if not math.isfinite(gain):
            raise UsageError(f"{place} has the {column} {row[column]!r}, a number was expected; {_AGAIN}")
        parts.append(Part((noise if column == "noise_gain" else speech) / row[path], gain))
    return tuple(parts)


def _gain(text: str) -> float:
    """NaN for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _measured(rows: Mapping[str, Mapping[str, tuple[Part, ...]]], jobs: int | None) -> Planned:
    """The mixtures with their lengths, from the headers of the sources."""
    sources = {part.path: None for found in rows.values() for parts in found.values() for part in parts[:-1]}
    files = [AudioFile(path, str(path), None, 0) for path in sources]
    lengths: dict[Path, int] = {}
    problems = []
    for file, found in audio.in_threads(audio.length, files, "lengths of LibriSpeech", jobs):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            lengths[file.path] = found
    checks.require_none(problems, _RERUN)
    return {
        split: {
            name: Mixture(parts[:-1], parts[-1], max(lengths[part.path] for part in parts[:-1]))
            for name, parts in found.items()
        }
        for split, found in rows.items()
    }


def _missing(root: Path, planned: Planned) -> dict[Path, Mixture]:
    """By their files, the mixtures that are not there or have another size."""
    return {path: mixture for path, mixture in _files(root, planned) if _size(path) != mixture.size}


def _files(root: Path, planned: Planned) -> Iterator[tuple[Path, Mixture]]:
    for split, found in planned.items():
        for name, mixture in found.items():
            yield folder_of(root, split) / f"{name}.wav", mixture


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _require_no_files(root: Path, planned: Planned, todo: Mapping[Path, Mixture]) -> None:
    number = sum(map(len, planned.values())) - len(todo)
    if number:
        raise UsageError(
            f"{root} holds {number:,} mixtures as files, which --mix-on-the-fly is to save: delete them, or "
            "leave the option out"
        )


def _require_room(root: Path, planned: Planned, todo: Mapping[Path, Mixture]) -> None:
    """Say what will be made and what it takes; UsageError where the disk has no room for it."""
    needed, free = sum(mixture.size for mixture in todo.values()), shutil.disk_usage(root).free
    counts = ", ".join(f"{split} {len(found):,}" for split, found in planned.items())
    print(
        f"{root}: {counts} mixtures, of which {len(todo):,} are to be written ({needed / 1e9:.2f} GB; "
        f"{free / 1e9:.1f} GB are free)",
        file=sys.stderr,
    )
    if needed + SPARE > free:
        raise UsageError(
            f"{root} needs {needed / 1e9:.2f} GB, and its disk has {free / 1e9:.2f} GB free; make room, name "
            "another folder with --data, or add --mix-on-the-fly, which writes no audio"
        )


def _mix(todo: Mapping[Path, Mixture], jobs: int | None) -> None:
    """Write the mixtures, each whole or not at all; UsageError at the end for those that cannot be."""

    def write(path: Path) -> int:
        wav = todo[path].wav()
        with texts.writing(path):
            atomic_write_bytes(path, wav)
        return len(wav)

    files = [AudioFile(path, path.name, None, 0) for path in todo]
    results = audio.in_threads(write, files, "mixtures of Libri2Mix", jobs)
    checks.require_none([found for _, found in results if isinstance(found, Problem)], _RERUN)


def _finish(root: Path, split: str, found: Mapping[str, Mixture], on_the_fly: bool) -> None:
    """The split's tables, now that its mixtures are there."""
    folder = folder_of(root, split)
    if on_the_fly:
        texts.write(folder / mixtures.TABLE, mixtures.table(found))
    # The columns are those of LibriMix's own script; the sources are not kept, and nothing reads them.
    rows = [
        (name, (folder / f"{name}.wav").relative_to(root.parent), "", "", "", mixture.samples)
        for name, mixture in found.items()
    ]
    table = root / _TABLES / f"mixture_{SPLITS[split].mixtures}_mix_both.csv"
    texts.write(table, csv_text([("mixture_ID", *_FIELDS), *rows]))
    if not on_the_fly:
        (folder / mixtures.TABLE).unlink(missing_ok=True)
