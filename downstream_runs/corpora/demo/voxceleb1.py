"""A synthetic corpus in VoxCeleb1's layout: about four minutes of speech, made in seconds.

Twelve speakers with eight utterances each, in four videos: eight speakers in dev, two of them among s3prl's
dev speakers, and four in test. Numbers measured on it say that the path works and nothing about an upstream;
they carry the label "demo".
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from downstream_runs.corpora.demo import made, sentences
from downstream_runs.corpora.demo.speech import Line, Voice
from downstream_runs.corpora.voxceleb1 import part
from downstream_runs.corpora.voxceleb1_verification import Trial, text_of

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

SPEAKERS: Mapping[str, Voice] = made.voices("voxceleb1")

VIDEOS, CLIPS = 4, 2
SPLITS = ("1", "1", "2", "3")
"""Of the four videos of each speaker two are for training, one for dev and one for test."""

PATTERN = "{action} THE {colour} {thing} AND COUNT {number}"
"""About two and a half seconds: shorter ones than two are dropped by speaker verification."""


def make(folder: Path, seed: int = 0) -> Path:
    """Make the corpus in `folder`/VoxCeleb1 and return that folder, see `made.make`; `seed` draws the
    sentences and the trials."""
    facts = {"version": VERSION, "seed": seed}
    return made.make(folder / "VoxCeleb1", facts, "short sentences in twelve voices", lambda: _content(seed))


def _content(seed: int) -> made.Content:
    """No sentence is said twice, so what is said tells no speakers apart."""
    texts = iter(sentences.draw(len(SPEAKERS) * VIDEOS * CLIPS, seed, (PATTERN,)))
    lines, splits = {}, {}
    for speaker, voice in SPEAKERS.items():
        for video in range(1, VIDEOS + 1):
            for clip in range(1, CLIPS + 1):
                name = f"{speaker}/demo-{video:06d}/{clip:05d}.wav"
                lines[f"{part(speaker)}/wav/{name}"] = Line(next(texts), voice)
                splits[name] = SPLITS[video - 1]
    lists = {
        "iden_split.txt": "".join(f"{split} {name}\n" for name, split in splits.items()),
        "veri_test.txt": text_of(_trials(list(splits), seed)),
    }
    return made.spoken(lines, lists)


def _trials(names: Sequence[str], seed: int) -> list[Trial]:
    """Every pair of one test speaker, and twice as many pairs of two test speakers.

    Five utterances a speaker: each more costs ten passes, one a checkpoint.
    """
    names = [name for name in names if part(name[:7]) == "test"]
    names = [name for name in names if name.endswith("00001.wav") or f"{VIDEOS:06d}/" in name]
    pairs = list(combinations(names, 2))
    same = [pair for pair in pairs if pair[0][:7] == pair[1][:7]]
    different = [pair for pair in pairs if pair[0][:7] != pair[1][:7]]
    chosen = random.Random(seed).sample(different, min(len(different), 2 * len(same)))
    return [Trial(1, *pair) for pair in same] + [Trial(0, *pair) for pair in chosen]
