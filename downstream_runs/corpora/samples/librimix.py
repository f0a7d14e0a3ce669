"""A few real two-speaker recordings as Kaldi-style folders, to try diarisation on real speech in minutes.

Two sources are known by their tables: `mixtures.tsv` (sums of LibriSpeech utterances, with a split each) and
`clips.tsv` (clips of meetings, of which those with exactly two speakers are taken). The splits are not the
official ones, and every number measured on them carries the label "sample".
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from downstream_runs.corpora import kaldi
from downstream_runs.corpora.audio import SAMPLE_RATE, AudioProblem, decode
from downstream_runs.corpora.kaldi import Recording, Segment
from downstream_runs.corpora.markers import SAMPLE, begin, finish, is_whole
from downstream_runs.corpora.samples import tables
from downstream_runs.corpora.texts import writing
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_path, sha256_file

SPEAKERS = 2

REFERENCE = "ref.rttm"

NOTICE = """This is a tiny sample of real speech of two speakers, not Libri2Mix and not its splits.

train {train}, dev {dev}, test {test} recordings.

Numbers measured on it say whether the path learns and nothing else; they carry the label "sample".
SAMPLE.json lists its files; where it is absent only half of the corpus was laid out.
"""


def lay_out(source: Path, dest: Path) -> Path:
    """Lay the two-speaker recordings of `source` out in `dest`/diarization and return that folder.

    `source` holds `mixtures.tsv` (columns mix, file, split) or `clips.tsv` (clip, file, n_speakers), the
    audio that it names, and `ref.rttm`. The clips are too few for three splits: the first is train and dev,
    the others are test. A sample that is whole is left as it is. Raises UsageError for a source that cannot
    be used, before anything is written, and for a `dest` that holds something else or cannot be written to.
    """
    splits, instead = _read(source)
    target = dest.expanduser().absolute() / "diarization"
    facts: dict[str, Any] = {
        "what": "real speech of two speakers, a tiny sample, not Libri2Mix",
        "source": source.resolve().name,
        "source_reference_sha256": sha256_file(source / REFERENCE),
        "instead": instead,
        "recordings": {split: len(recordings) for split, recordings in splits.items()},
    }
    if is_whole(target, SAMPLE, facts):
        return target
    with writing(target):
        begin(target, SAMPLE, NOTICE.format(**facts["recordings"]))
        finish(target, SAMPLE, facts, _write(target, splits))
    return target


def _write(target: Path, splits: Mapping[str, Sequence[Recording]]) -> list[str]:
    """Copy the audio and write the tables; the paths of all files, relative to `target`."""
    files = set()
    for split, recordings in splits.items():
        placed = []
        for recording in recordings:
            name = f"audio/{recording.audio.name}"
            with atomic_path(target / name) as temporary:
                shutil.copyfile(recording.audio, temporary)
            files.add(name)
            placed.append(replace(recording, audio=Path("..") / name))
        kaldi.write(target / split, placed)
        files.update(f"{split}/{table}" for table in kaldi.TABLES)
    return sorted(files)


def _read(source: Path) -> tuple[dict[str, list[Recording]], dict[str, str]]:
    """The recordings of each split, and what each split holds instead of the official one."""
    turns = _turns(source)
    if (source / "mixtures.tsv").is_file():
        rows = _rows(source / "mixtures.tsv", ("mix", "file", "split"))
        splits = {
            split: [
                _recording(source, row["mix"], row["file"], turns) for row in rows if row["split"] == split
            ]
            for split in ("train", "dev", "test")
        }
        what = {split: f"{len(found)} mixtures of {source.resolve().name}" for split, found in splits.items()}
    else:
        rows = _rows(source / "clips.tsv", ("clip", "file", "n_speakers"))
        clips = [
            _recording(source, row["clip"], row["file"], turns)
            for row in rows
            if row["n_speakers"] == str(SPEAKERS)
        ]
        splits = {"train": clips[:1], "dev": clips[:1], "test": clips[1:]}
        what = {
            "train": f"one clip of {source.resolve().name}",
            "dev": "the training clip once more",
            "test": f"{len(clips[1:])} other clip(s) of {source.resolve().name}",
        }
    empty = [split for split, found in splits.items() if not found]
    if empty:
        raise UsageError(
            f"{source} has no two-speaker recording for {empty[0]}, one at least was expected; name a folder "
            "with mixtures of all three splits, or at least two clips"
        )
    return splits, what


def _rows(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    expected = f"mixtures.tsv or clips.tsv, the audio that it lists, and {REFERENCE}"
    return [row for _, row in tables.read(table, columns, expected)]


def _turns(source: Path) -> dict[str, list[Segment]]:
    from downstream_runs.scoring import rttm

    return {
        name: [
            Segment(
                f"{name}_{turn.speaker}_{round(1000 * turn.start):06d}_{round(1000 * turn.end):06d}",
                turn.speaker,
                round(turn.start, 3),
                round(turn.end, 3),
            )
            for turn in turns
        ]
        for name, turns in rttm.read(source / REFERENCE).items()
    }


def _recording(source: Path, name: str, file: str, turns: Mapping[str, Sequence[Segment]]) -> Recording:
    audio = source / file
    if not audio.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{source} lists the file {file}, expected one inside that folder")
    if name not in turns:
        raise UsageError(
            f"{source / REFERENCE} has no turn of {name}, one at least was expected; add its turns"
        )
    try:
        return Recording(name, audio, decode(audio) / SAMPLE_RATE, tuple(turns[name]))
    except AudioProblem as problem:
        raise UsageError(f"{problem}; restore it or take {name} out of the table") from None
