"""Sentences of a toy language: forty English words, each of which comes back often enough to be learnt."""

from __future__ import annotations

import random
from collections.abc import Mapping

SLOTS: Mapping[str, tuple[str, ...]] = {
    "number": ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "TEN"),
    "colour": ("RED", "BLUE", "GREEN", "WHITE", "BLACK", "YELLOW"),
    "thing": ("BOX", "DOOR", "CUP", "BALL", "LAMP", "BOOK"),
    "action": ("OPEN", "CLOSE", "MOVE", "BRING", "TAKE", "FIND"),
    "direction": ("LEFT", "RIGHT", "UP", "DOWN"),
}
"""The words that may fill each slot of a pattern."""

PATTERNS: tuple[str, ...] = (
    "{action} THE {colour} {thing}",
    "PLEASE {action} THE {thing} NOW",
    "TURN {direction} AND {action} THE {thing}",
    "MOVE {direction} {number} AND {direction} {number}",
    "THE {thing} NUMBER {number} IS {colour}",
    "COUNT {number} {number} {number}",
)


def vocabulary() -> frozenset[str]:
    """All words that a sentence may hold."""
    fixed = {word for pattern in PATTERNS for word in pattern.split() if "{" not in word}
    return frozenset(fixed).union(*SLOTS.values())


def fill(pattern: str, source: random.Random) -> str:
    """The pattern with a word of `source`'s choice in each slot."""
    return " ".join(source.choice(SLOTS[word[1:-1]]) if "{" in word else word for word in pattern.split())


def draw(number: int, seed: int, patterns: tuple[str, ...] = PATTERNS) -> list[str]:
    """`number` different sentences, the patterns taking turns; the same for the same seed."""
    source = random.Random(seed)
    sentences: dict[str, None] = {}
    while len(sentences) < number:
        sentences[fill(patterns[len(sentences) % len(patterns)], source)] = None
    return list(sentences)
