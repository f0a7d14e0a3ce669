"""Sentences of a toy language: forty English words, each of which comes back often enough to be learnt."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from downstream_runs.corpora.demo.made import data

SLOTS: Mapping[str, Sequence[str]] = data("sentences")["slots"]
PATTERNS: Sequence[str] = data("sentences")["patterns"]


def vocabulary() -> frozenset[str]:
    """All words that a sentence may hold."""
    fixed = {word for pattern in PATTERNS for word in pattern.split() if "{" not in word}
    return frozenset(fixed).union(*SLOTS.values())


def fill(pattern: str, source: random.Random) -> str:
    """The pattern with a word of `source`'s choice in each slot."""
    return " ".join(source.choice(SLOTS[word[1:-1]]) if "{" in word else word for word in pattern.split())


def draw(number: int, seed: int, patterns: Sequence[str] = PATTERNS) -> list[str]:
    """`number` different sentences, the patterns taking turns; the same for the same seed."""
    source = random.Random(seed)
    sentences: dict[str, None] = {}
    while len(sentences) < number:
        sentences[fill(patterns[len(sentences) % len(patterns)], source)] = None
    return list(sentences)
