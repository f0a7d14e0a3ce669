"""A synthetic corpus in the layout of Audio SNIPS: some minutes of orders with slots, made in seconds.

Every voice has the name of one of Audio SNIPS' speakers, so that SUPERB's split by speakers applies. As
there, the voices of a split say the same sentences. Numbers measured on it carry the label "demo".
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.corpora import snips
from downstream_runs.corpora.demo import made
from downstream_runs.corpora.demo.speech import Line, Voice

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

VOICES: Mapping[str, Voice] = made.voices("snips")

SENTENCES: Mapping[str, int] = {"train": 12, "valid": 6, "test": 8}
"""Sentences of each split; each is said by all of its voices."""

SLOTS: Mapping[str, Sequence[str]] = made.data("snips")["slots"]
PATTERNS: Sequence[tuple[str, str]] = made.data("snips")["patterns"]
"""Sentences with slots, and their intents."""


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
    """Make the corpus in `folder`/SNIPS and return that folder, see `made.make`; `seed` draws the
    sentences."""
    facts = {"version": VERSION, "seed": seed}
    return made.make(folder / "SNIPS", facts, "orders of some thirty words", lambda: _content(seed))


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


def _content(seed: int) -> made.Content:
    """Test and valid say new sentences."""
    drawn = iter(draw(sum(SENTENCES.values()), seed))
    lines, transcripts = {}, []
    for split, number in SENTENCES.items():
        chosen = [next(drawn) for _ in range(number)]
        for speaker in (name for name in snips.SPEAKERS[split] if name in VOICES):
            for index, sentence in enumerate(chosen):
                text = " ".join(word for word in sentence.words if word != ".")
                name = f"{speaker}-snips-{split}-{index}"
                lines[f"{split}/{name}.wav"] = Line(text.lower(), VOICES[speaker])
                transcripts.append(f"{name} {sentence.line}\n")
    texts = {snips.TRANSCRIPTS: "".join(transcripts), snips.SLOTS: snips.slots_text(tuple(SLOTS))}
    return made.spoken(lines, texts)
