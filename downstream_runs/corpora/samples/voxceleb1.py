"""A few real utterances of LibriSpeech as a VoxCeleb1 root.

They answer one question on real speech, in minutes and without VoxCeleb1: do speaker identification and
verification learn? LibriSpeech is read aloud in quiet rooms and each speaker has one recording day, so the
numbers are no estimate of VoxCeleb1's; every one carries the label "sample".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.corpora.markers import SAMPLE, begin, finish, is_whole
from downstream_runs.corpora.samples.librispeech import TABLE, Utterance, read_table
from downstream_runs.corpora.texts import writing
from downstream_runs.corpora.voxceleb1 import part
from downstream_runs.corpora.voxceleb1_verification import Trial
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_path, atomic_write_text, sha256_file

NAMES = (
    "id10008",
    "id10025",
    "id10101",
    "id10102",
    "id10103",
    "id10104",
    "id10270",
    "id10271",
    "id10272",
    "id10273",
)
"""What the source's first ten speakers are called: two of s3prl's dev speakers, four of dev, four of test."""

PER_SPEAKER = 8
SPLITS = ("1", "1", "1", "1", "1", "2", "3", "3")
"""Speaker identification's split of each speaker's utterances, in their order."""

NOTICE = """This is a tiny sample of real speech (LibriSpeech) in the layout of VoxCeleb1, not VoxCeleb1.

Ten speakers with eight utterances each. Speaker identification trains on five of each speaker, has one for
dev and two for test, of the same recording. Speaker verification trains on the six speakers in dev/ and is
tested on pairs of the four others.

Numbers measured on it say whether the path learns and nothing else; they carry the label "sample".
SAMPLE.json lists its files; where it is absent only half of the corpus was laid out.
"""


@dataclass(frozen=True)
class _Clip:
    """One utterance under its name in VoxCeleb1's lists, and its number in speaker identification's."""

    name: str
    split: str
    utterance: Utterance

    @property
    def file(self) -> str:
        return f"{part(self.name[:7])}/wav/{self.name}"


def lay_out(source: Path, dest: Path) -> Path:
    """Lay utterances of `source` out in `dest`/VoxCeleb1 and return that folder.

    `source` holds `utterances.tsv` and the flac files that it names, of ten speakers with eight utterances
    each at least; they are written as wav. A sample that is whole is left as it is. Raises UsageError for a
    source that cannot be used, before anything is written, and for a `dest` that holds something else or
    cannot be written to.
    """
    clips = _clips(source)
    target = dest.expanduser().absolute() / "VoxCeleb1"
    facts: dict[str, Any] = {
        "what": "real speech of LibriSpeech, a tiny sample, nothing of VoxCeleb1",
        "source": source.resolve().name,
        "source_table_sha256": sha256_file(source / TABLE),
        "instead": {
            "every part": "a few LibriSpeech utterances, one recording a speaker",
        },
        "utterances": {clip.name: clip.utterance.name for clip in clips},
    }
    if is_whole(target, SAMPLE, facts):
        return target
    with writing(target):
        begin(target, SAMPLE, NOTICE)
        for clip in clips:
            _write_wav(clip.utterance.audio, target / clip.file)
        lists = {
            "iden_split.txt": "".join(f"{clip.split} {clip.name}\n" for clip in clips),
            "veri_test.txt": "".join(trial.line() for trial in _trials(clips)),
        }
        for name, text in lists.items():
            atomic_write_text(target / name, text)
        finish(target, SAMPLE, facts, [*lists, *(clip.file for clip in clips)])
    return target


def _clips(source: Path) -> list[_Clip]:
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in sorted(read_table(source), key=lambda utterance: utterance.name):
        by_speaker.setdefault(utterance.chapter[0], []).append(utterance)
    whole = {speaker: mine for speaker, mine in by_speaker.items() if len(mine) >= PER_SPEAKER}
    if len(whole) < len(NAMES):
        raise UsageError(
            f"{source / TABLE} lists {len(whole)} speakers with {PER_SPEAKER} utterances, {len(NAMES)} were "
            "expected; name a folder that lists more"
        )
    clips = []
    for name, speaker in zip(NAMES, sorted(whole), strict=False):
        for split, utterance in zip(SPLITS, whole[speaker], strict=False):
            _, chapter, number = utterance.name.split("-")
            clips.append(_Clip(f"{name}/{speaker}-{chapter}/{int(number):05d}.wav", split, utterance))
    return clips


def _trials(clips: Sequence[_Clip]) -> list[Trial]:
    """Every pair of one test speaker, and every third pair of two."""
    names = [clip.name for clip in clips if part(clip.name[:7]) == "test"]
    pairs = [(one, two) for i, one in enumerate(names) for two in names[i + 1 :]]
    same = [Trial(1, *pair) for pair in pairs if pair[0][:7] == pair[1][:7]]
    different = [Trial(0, *pair) for pair in pairs if pair[0][:7] != pair[1][:7]]
    return [*same, *different[::3]]


def _write_wav(flac: Path, path: Path) -> None:
    import soundfile

    samples, rate = soundfile.read(str(flac), dtype="int16")
    with atomic_path(path) as temporary:
        soundfile.write(str(temporary), samples, rate, format="WAV", subtype="PCM_16")
