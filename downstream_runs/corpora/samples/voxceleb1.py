"""A few real utterances of LibriSpeech as a VoxCeleb1 root.

They answer one question on real speech, in minutes and without VoxCeleb1: do speaker identification and
verification learn? LibriSpeech is read aloud in quiet rooms and each speaker has one recording day, so the
numbers are no estimate of VoxCeleb1's. Identification trains on five utterances of each of ten speakers, has
one for dev and two for test; verification trains on six speakers and is tested on pairs of the four others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from downstream_runs.corpora.samples import laid
from downstream_runs.corpora.samples.librispeech import TABLE, Utterance, read_table
from downstream_runs.corpora.voxceleb1 import part
from downstream_runs.corpora.voxceleb1_verification import Trial, text_of
from upstream_arm.common.errors import UsageError

NAMES = tuple(f"id{number}" for number in (10008, 10025, *range(10101, 10105), *range(10270, 10274)))
"""What the source's first ten speakers are called: two of s3prl's dev speakers, four of dev, four of test."""

PER_SPEAKER = 8
SPLITS = ("1", "1", "1", "1", "1", "2", "3", "3")
"""Speaker identification's split of each speaker's utterances, in their order."""


def lay_out(source: Path, dest: Path) -> Path:
    """Lay utterances of `source` out in `dest`/VoxCeleb1, as wav, and return that folder, see `laid.lay_out`.

    `source` holds `utterances.tsv` and the flac files that it names, of ten speakers with eight utterances
    each at least. UsageError for a source that cannot be used, before anything is written.
    """
    clips = _clips(source)
    facts = laid.facts(
        "real speech of LibriSpeech, a tiny sample, nothing of VoxCeleb1",
        source / TABLE,
        {"every part": "a few LibriSpeech utterances, one recording a speaker"},
        utterances={name: utterance.name for name, (_, utterance) in clips.items()},
    )
    audio = {f"{part(name[:7])}/wav/{name}": utterance.audio for name, (_, utterance) in clips.items()}
    lists = {
        "iden_split.txt": "".join(f"{split} {name}\n" for name, (split, _) in clips.items()),
        "veri_test.txt": text_of(_trials([name for name in clips if part(name[:7]) == "test"])),
    }
    what = "ten speakers of LibriSpeech with eight utterances each"
    return laid.lay_out(dest / "VoxCeleb1", facts, what, audio, lists)


def _clips(source: Path) -> dict[str, tuple[str, Utterance]]:
    """Each utterance under its name in VoxCeleb1's lists, after its number in speaker identification's."""
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in sorted(read_table(source), key=lambda utterance: utterance.name):
        by_speaker.setdefault(utterance.chapter[0], []).append(utterance)
    whole = {speaker: mine for speaker, mine in by_speaker.items() if len(mine) >= PER_SPEAKER}
    if len(whole) < len(NAMES):
        raise UsageError(
            f"{source / TABLE} lists {len(whole)} speakers with {PER_SPEAKER} utterances, {len(NAMES)} were "
            "expected; name a folder that lists more"
        )
    clips = {}
    for name, speaker in zip(NAMES, sorted(whole), strict=False):
        for split, utterance in zip(SPLITS, whole[speaker], strict=False):
            _, chapter, number = utterance.name.split("-")
            clips[f"{name}/{speaker}-{chapter}/{int(number):05d}.wav"] = (split, utterance)
    return clips


def _trials(names: Sequence[str]) -> list[Trial]:
    """Every pair of one test speaker, and every third pair of two."""
    pairs = list(combinations(names, 2))
    same = [Trial(1, *pair) for pair in pairs if pair[0][:7] == pair[1][:7]]
    different = [Trial(0, *pair) for pair in pairs if pair[0][:7] != pair[1][:7]]
    return [*same, *different[::3]]
