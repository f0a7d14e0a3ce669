"""Sentences of a toy language: forty English words, each of which comes back often enough to be learnt."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType

SLOTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "number": ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "TEN"),
        "colour": ("RED", "BLUE", "GREEN", "WHITE", "BLACK", "YELLOW"),
        "thing": ("BOX", "DOOR", "CUP", "BALL", "LAMP", "BOOK"),
        "action": ("OPEN", "CLOSE", "MOVE", "BRING", "TAKE", "FIND"),
        "direction": ("LEFT", "RIGHT", "UP", "DOWN"),
    }
)
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


def draw(number: int, seed: int) -> list[str]:
    """`number` different sentences, the patterns taking turns; the same for the same seed."""
    source = random.Random(seed)
    sentences: dict[str, None] = {}
    while len(sentences) < number:
        pattern = PATTERNS[len(sentences) % len(PATTERNS)]
        words = [source.choice(SLOTS[word[1:-1]]) if "{" in word else word for word in pattern.split()]
        sentences[" ".join(words)] = None
    return list(sentences)
