"""A synthetic corpus in VoxCeleb1's layout: about four minutes of speech, made in seconds.

Twelve speakers with eight utterances each, in four videos: eight speakers in dev, two of them among s3prl's
dev speakers, and four in test. Numbers measured on it say that the path works and nothing about an upstream;
they carry the label "demo".
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from downstream_runs.corpora import wavs
from downstream_runs.corpora.demo.sentences import SLOTS
from downstream_runs.corpora.demo.speech import Line, Voice, synthesise
from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.corpora.markers import DEMO, begin, finish, is_whole
from downstream_runs.corpora.outputs import writing
from downstream_runs.corpora.voxceleb1 import part
from downstream_runs.corpora.voxceleb1_lists import Trial
from upstream_arm.common.files import atomic_write_text

if TYPE_CHECKING:
    pass

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

SPEAKERS: Mapping[str, Voice] = MappingProxyType(
    {
        "id10008": Voice("en-us", "m1", pitch=30, rate=130),
        "id10025": Voice("en-us", "f2", pitch=60, rate=130),
        "id10100": Voice("en-gb-x-rp", "m7", pitch=50, rate=125),
        "id10101": Voice("en-us", "m3", pitch=45, rate=125),
        "id10102": Voice("en-gb-x-rp", "f4", pitch=45, rate=130),
        "id10103": Voice("en-us", "croak", pitch=40, rate=130),
        "id10104": Voice("en-us", "f5", pitch=70, rate=125),
        "id10105": Voice("en-gb-scotland", "m5", pitch=60, rate=125),
        "id10270": Voice("en-us", "m8", pitch=35, rate=125),
        "id10271": Voice("en-us", "f3", pitch=55, rate=125),
        "id10272": Voice("en-gb-x-rp", "m2", pitch=60, rate=130),
        "id10273": Voice("en-us", "f1", pitch=75, rate=130),
    }
)
"""By VoxCeleb1's numbers, which say who is in test and who is one of s3prl's dev speakers."""

VIDEOS, CLIPS = 4, 2
SPLITS = ("1", "1", "2", "3")
"""Of the four videos of each speaker two are for training, one for dev and one for test."""

PATTERN = "{action} THE {colour} {thing} AND COUNT {number}"
"""About two and a half seconds: shorter ones than two are dropped by speaker verification."""

NOTICE = """This corpus is synthetic: a speech synthesiser (espeak-ng) said short sentences in twelve
voices.

It has the layout of VoxCeleb1 and nothing of its speech. It is made to try the whole path from training
to a result file. Numbers measured on it say nothing about an upstream and carry the label "demo".
DEMO.json lists its files; where it is absent only half of the corpus was made, and making it again
completes it.
"""


@dataclass(frozen=True)
class _Clip:
    """One file: its name as in VoxCeleb1's lists, its number in speaker identification's, what it says."""

    name: str
    split: str
    line: Line

    @property
    def speaker(self) -> str:
        return self.name[:7]

    @property
    def file(self) -> str:
        return f"{part(self.speaker)}/wav/{self.name}"


def make(root: Path, seed: int = 0) -> Path:
    """Make the corpus in `root`/VoxCeleb1 and return that folder.

    `seed` draws the sentences and the trials. A corpus that is whole is left as it is; one that is half made,
    changed, or of another seed is made again. Raises UsageError if espeak-ng is not installed, if the folder
    holds something else, and if it cannot be written to.
    """
    target = root.expanduser().absolute() / "VoxCeleb1"
    facts: dict[str, Any] = {"version": VERSION, "seed": seed}
    if is_whole(target, DEMO, facts):
        return target
    plan = _plan(seed)
    # Spoken before anything is written: without the synthesiser no empty corpus is left behind.
    waves = synthesise([clip.line for clip in plan])
    with writing(target):
        begin(target, DEMO, NOTICE)
        for clip, wave in zip(plan, waves, strict=True):
            wavs.write_wav(target / clip.file, wave)
        lists = {
            "iden_split.txt": "".join(f"{clip.split} {clip.name}\n" for clip in plan),
            "veri_test.txt": "".join(trial.line() for trial in _trials(plan, seed)),
        }
        for name, text in lists.items():
            atomic_write_text(target / name, text)
        seconds = round(sum(len(wave) for wave in waves) / SAMPLE_RATE, 3)
        facts = {**facts, "utterances": len(plan), "seconds": seconds}
        finish(target, DEMO, facts, [*lists, *(clip.file for clip in plan)])
    return target


def _plan(seed: int) -> list[_Clip]:
    """Every clip of the corpus; no sentence is said twice, so what is said tells no speakers apart."""
    texts = iter(_sentences(len(SPEAKERS) * VIDEOS * CLIPS, seed))
    return [
        _Clip(f"{speaker}/demo-{video:06d}/{clip:05d}.wav", SPLITS[video - 1], Line(next(texts), voice))
        for speaker, voice in SPEAKERS.items()
        for video in range(1, VIDEOS + 1)
        for clip in range(1, CLIPS + 1)
    ]


def _sentences(number: int, seed: int) -> list[str]:
    source = random.Random(seed)
    drawn: dict[str, None] = {}
    while len(drawn) < number:
        words = [source.choice(SLOTS[word[1:-1]]) if "{" in word else word for word in PATTERN.split()]
        drawn[" ".join(words)] = None
    return list(drawn)


def _trials(plan: Sequence[_Clip], seed: int) -> list[Trial]:
    """Every pair of one test speaker, and twice as many pairs of two test speakers.

    Five utterances a speaker: each more costs ten passes, one a checkpoint.
    """
    names = [clip.name for clip in plan if part(clip.speaker) == "test"]
    names = [name for name in names if name.endswith("00001.wav") or f"{VIDEOS:06d}/" in name]
    pairs = [(one, two) for i, one in enumerate(names) for two in names[i + 1 :]]
    same = [pair for pair in pairs if pair[0][:7] == pair[1][:7]]
    different = [pair for pair in pairs if pair[0][:7] != pair[1][:7]]
    chosen = random.Random(seed).sample(different, min(len(different), 2 * len(same)))
    return [Trial(1, *pair) for pair in same] + [Trial(0, *pair) for pair in chosen]
