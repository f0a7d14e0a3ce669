"""A synthetic corpus in the layout of Audio SNIPS: some minutes of orders with slots, made in seconds.

Every voice has the name of one of Audio SNIPS' speakers, so that SUPERB's split by speakers applies. As
there, the voices of a split say the same sentences. Numbers measured on it carry the label "demo".
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from downstream_runs.corpora import snips, wavs
from downstream_runs.corpora.demo.speech import Line, Voice, synthesise
from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.corpora.markers import DEMO, begin, finish, is_whole
from downstream_runs.corpora.outputs import writing
from upstream_arm.common.files import atomic_write_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

VOICES: Mapping[str, Voice] = MappingProxyType(
    {
        "Ivy": Voice("en-us", "f5", pitch=60, rate=150),
        "Joanna": Voice("en-us", "f2", pitch=52, rate=145),
        "Joey": Voice("en-us", "m1", pitch=42, rate=150),
        "Justin": Voice("en-us", "m4", pitch=58, rate=155),
        "Kendra": Voice("en-us", "f1", pitch=48, rate=145),
        "Kimberly": Voice("en-us", "f4", pitch=55, rate=150),
        "Matthew": Voice("en-us", "m3", pitch=45, rate=145),
        "Salli": Voice("en-us", "f3", pitch=50, rate=155),
        "Geraint": Voice("en-us", "m5", pitch=47, rate=145),
        "Nicole": Voice("en-us", "f2", pitch=58, rate=150),
        "Brian": Voice("en-us", "m7", pitch=45, rate=145),
        "Emma": Voice("en-us", "f1", pitch=55, rate=150),
    }
)
"""Twelve of the sixteen speakers, two in valid and two in test."""

SENTENCES: Mapping[str, int] = MappingProxyType({"train": 12, "valid": 6, "test": 8})
"""Sentences of each split; each is said by all of its voices."""

SLOTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "artist": ("ANNA LEE", "BOB", "MAX"),
        "city": ("PARIS", "ROME", "NEW YORK"),
        "object_name": ("BLUE MOON", "RIVER"),
        "rating_value": ("TWO", "FIVE"),
        "timeRange": ("TODAY", "AT NOON"),
    }
)
"""Slots, in the order of slots.txt, and their values."""

PATTERNS: tuple[tuple[str, str], ...] = (
    ("PLAY {object_name} BY {artist}", "PlayMusic"),
    ("RATE {object_name} {rating_value}", "RateBook"),
    ("WEATHER IN {city} {timeRange}", "GetWeather"),
    ("FIND {artist} IN {city}", "SearchCreativeWork"),
    ("BOOK {city} FOR {rating_value}", "BookRestaurant"),
    ("PLAY {artist} {timeRange} .", "PlayMusic"),
)
"""Sentences with slots, and their intents; a point of its own is written as in the corpus, and not said."""

NOTICE = """This corpus is synthetic: a speech synthesiser (espeak-ng) said orders of some thirty words.

It has the layout of Audio SNIPS and the names of its speakers, and nothing of their speech. It is made to
try the whole path from training to a result file. Numbers measured on it say nothing about an upstream and
carry the label "demo". DEMO.json lists its files; where it is absent only half of the corpus was made, and
making it again completes it.
"""


@dataclass(frozen=True)
class Sentence:
    """Words and their tags, one a word, and the intent."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    intent: str

    @property
    def line(self) -> str:
        """The sentence as all.iob.snips.txt has it after the id."""
        return f"BOS {' '.join(self.words)} EOS\tO {' '.join(self.tags)} {self.intent}"


def make(folder: Path, seed: int = 0) -> Path:
    """Make the corpus in `folder`/SNIPS and return that folder.

    `seed` draws the sentences. A corpus that is whole is left as it is; one that is half made, changed, or of
    another seed is made again. Raises UsageError if espeak-ng is not installed, if the folder holds something
    else, and if it cannot be written to.
    """
    target = folder.expanduser().absolute() / "SNIPS"
    facts: dict[str, Any] = {"version": VERSION, "seed": seed}
    if is_whole(target, DEMO, facts):
        return target
    plan = _plan(seed)
    waves = synthesise([line for _, line, _ in plan.values()])
    with writing(target):
        begin(target, DEMO, NOTICE)
        files = _write(target, plan, waves)
        seconds = round(sum(len(wave) for wave in waves) / SAMPLE_RATE, 3)
        finish(target, DEMO, {**facts, "utterances": len(plan), "seconds": seconds}, files)
    return target


def draw(number: int, seed: int) -> list[Sentence]:
    """`number` different sentences, the patterns taking turns; the same for the same seed.

    Raises ValueError if the patterns allow fewer.
    """
    possible = sum(math.prod(len(SLOTS[slot]) for slot in SLOTS if f"{{{slot}}}" in p) for p, _ in PATTERNS)
    if number > possible:
        raise ValueError(f"{number} sentences were asked for, the patterns allow {possible}")
    source = random.Random(seed)
    found: dict[Sentence, None] = {}
    turn = 0
    while len(found) < number:
        # The turn goes on where a sentence was drawn before: a pattern may have no other one left.
        pattern, intent = PATTERNS[turn % len(PATTERNS)]
        turn += 1
        words: list[str] = []
        tags: list[str] = []
        for part in pattern.split():
            slot = part.strip("{}")
            said = source.choice(SLOTS[slot]).split() if slot in SLOTS else [part]
            words += said
            tags += [slot if slot in SLOTS else "O"] * len(said)
        found[Sentence(tuple(words), tuple(tags), intent)] = None
    return list(found)


def _plan(seed: int) -> dict[str, tuple[str, Line, Sentence]]:
    """Every utterance's split, what is said by whom, and its sentence; test and valid say new sentences."""
    drawn = iter(draw(sum(SENTENCES.values()), seed))
    plan = {}
    for split, number in SENTENCES.items():
        chosen = [next(drawn) for _ in range(number)]
        for speaker in (name for name in snips.SPEAKERS[split] if name in VOICES):
            for index, sentence in enumerate(chosen):
                text = " ".join(word for word in sentence.words if word != ".")
                name = f"{speaker}-snips-{split}-{index}"
                plan[name] = (split, Line(text.lower(), VOICES[speaker]), sentence)
    return plan


def _write(
    root: Path, plan: Mapping[str, tuple[str, Line, Sentence]], waves: list[NDArray[np.float32]]
) -> list[str]:
    """Write audio, transcripts and slots; the paths of all files, relative to `root`."""
    files = []
    for (name, (split, _, _)), wave in zip(plan.items(), waves, strict=True):
        files.append(f"{split}/{name}.wav")
        wavs.write_wav(root / files[-1], wave)
    lines = "".join(f"{name} {sentence.line}\n" for name, (_, _, sentence) in plan.items())
    atomic_write_text(root / snips.TRANSCRIPTS, lines)
    snips.write_slots(root / snips.SLOTS, tuple(SLOTS))
    return [*files, snips.TRANSCRIPTS, snips.SLOTS]
