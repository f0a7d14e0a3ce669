"""A few real two-speaker recordings as Kaldi-style folders, to try diarisation on real speech in minutes.

Two sources are known by their tables: `mixtures.tsv` (columns mix, file, split: sums of LibriSpeech
utterances) and `clips.tsv` (clip, file, n_speakers: clips of meetings, of which those with exactly two
speakers are taken; the first is train and dev, the others are test). Beside them lies `ref.rttm`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from downstream_runs.corpora import kaldi
from downstream_runs.corpora.audio import SAMPLE_RATE, AudioProblem, decode
from downstream_runs.corpora.kaldi import Recording, Segment
from downstream_runs.corpora.samples import laid
from downstream_runs.scoring import rttm
from downstream_runs.scoring.rttm import Turn
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import sha256_file

SPEAKERS = 2

REFERENCE = "ref.rttm"


def lay_out(source: Path, dest: Path) -> Path:
    """Lay the two-speaker recordings of `source` out in `dest`/diarization, see `laid.lay_out`.

    UsageError for a source that cannot be used, before anything is written.
    """
    splits, instead = _read(source)
    facts: dict[str, Any] = {
        "what": "real speech of two speakers, a tiny sample, not Libri2Mix",
        "source": source.resolve().name,
        "source_reference_sha256": sha256_file(source / REFERENCE),
        "instead": instead,
        "recordings": {split: len(recordings) for split, recordings in splits.items()},
    }
    audio: dict[str, Path] = {}
    lists: dict[str, str] = {}
    for split, recordings in splits.items():
        names = [f"audio/{one.audio.name}" for one in recordings]
        audio.update(zip(names, (one.audio for one in recordings), strict=True))
        placed = [replace(one, audio=Path("..") / name) for one, name in zip(recordings, names, strict=True)]
        lists.update({f"{split}/{name}": text for name, text in kaldi.tables_of(placed).items()})
    return laid.lay_out(dest / "diarization", facts, "recordings of two speakers", audio, lists)


def _read(source: Path) -> tuple[dict[str, list[Recording]], dict[str, str]]:
    """The recordings of each split, and what each split holds instead of the official one."""
    turns, here = rttm.read(source / REFERENCE), source.resolve().name
    if (source / "mixtures.tsv").is_file():
        rows = laid.read(source / "mixtures.tsv", ("mix", "file", "split"))
        splits = {
            split: [_recording(row["mix"], file, turns) for _, row, file in rows if row["split"] == split]
            for split in ("train", "dev", "test")
        }
        what = {split: f"{len(found)} mixtures of {here}" for split, found in splits.items()}
    else:
        rows = laid.read(source / "clips.tsv", ("clip", "file", "n_speakers"))
        two = [(row["clip"], file) for _, row, file in rows if row["n_speakers"] == str(SPEAKERS)]
        clips = [_recording(name, file, turns) for name, file in two]
        splits = {"train": clips[:1], "dev": clips[:1], "test": clips[1:]}
        what = {
            "train": f"one clip of {here}",
            "dev": "the training clip once more",
            "test": f"{len(clips[1:])} other clip(s) of {here}",
        }
    empty = [split for split, found in splits.items() if not found]
    if empty:
        raise UsageError(
            f"{source} has no two-speaker recording for {empty[0]}, one at least was expected; name a folder "
            "with mixtures of all three splits, or at least two clips"
        )
    return splits, what


def _recording(name: str, audio: Path, turns: dict[str, list[Turn]]) -> Recording:
    if name not in turns:
        raise UsageError(f"{REFERENCE} has no turn of {name}, one at least was expected; add its turns")
    segments = tuple(
        Segment(
            f"{name}_{turn.speaker}_{round(1000 * turn.start):06d}_{round(1000 * turn.end):06d}",
            turn.speaker,
            round(turn.start, 3),
            round(turn.end, 3),
        )
        for turn in turns[name]
    )
    try:
        return Recording(name, audio, decode(audio) / SAMPLE_RATE, segments)
    except AudioProblem as problem:
        raise UsageError(f"{problem.what}; restore it or take {name} out of the table") from None
