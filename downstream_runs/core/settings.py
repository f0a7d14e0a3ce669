"""The settings of a configuration: nested blocks of names and values, as s3prl's own files have them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import near, shown

MOST = 2**31 - 1
"""The largest whole number of any setting: what fits into 32 bits, which numpy and torch can count with."""

OPEN_BLOCKS = ("optimizer", "scheduler", "specaug")
"""Blocks whose keys are arguments of torch's optimizers and s3prl's schedulers, so new ones may be added."""

STEPS, RATE = "runner.total_steps", "optimizer.lr"
BATCH_SIZES = (".batch_size", ".train_batch_size", ".train_batchsize")
"""How the key of the training's batch ends, which no two of s3prl's experts call alike."""
WORDS = {STEPS: "steps", RATE: "lr"}
"""Keys that people change most, as they call them."""
MOST_WORDS = 4


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting as (dotted key, value)."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def steady(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that can decide a number, by its dotted key: not how many processes load the data."""
    return {key: value for key, value in leaves(config) if not key.endswith(".num_workers")}


def differing(many: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each of some mappings the entries in which not all are alike; what one lacks is None."""
    keys = dict.fromkeys(key for one in many for key in one)
    told = [key for key in keys if any(one.get(key) != many[0].get(key) for one in many)]
    return [{key: one.get(key) for key in told} for one in many]


def in_words(settings: Mapping[str, Any]) -> str:
    """Some settings for a person who knows the others: `lr 0.01, steps 200`; of many the first."""
    words = [f"{_word(key)} {_value(value)}" for key, value in settings.items()]
    more = f" and {len(words) - MOST_WORDS} more" if len(words) > MOST_WORDS else ""
    return ", ".join(words[:MOST_WORDS]) + more


def batch_size_key(config: Mapping[str, Any]) -> str | None:
    """The setting with the size of the training's batch."""
    return next((key for key, _ in leaves(config) if key.endswith(BATCH_SIZES)), None)


def _word(key: str) -> str:
    return "batch size" if key.endswith(BATCH_SIZES) else WORDS.get(key, key)


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else shown(value, 40)


def override(config: dict[str, Any], key: str, value: Any) -> None:
    """Give the setting `key` of a recipe another value; UsageError for a key or value that does not fit."""
    *parents, last = key.split(".")
    block: Any = config
    for depth, name in enumerate(parents):
        if depth == 0 and name in OPEN_BLOCKS and "optimizer" in config:  # a task that trains
            block.setdefault(name, {})
        block = block.get(name) if isinstance(block, dict) else None
    opened = (parents or [last])[0] in OPEN_BLOCKS and "optimizer" in config
    if not isinstance(block, dict) or (last not in block and not opened):
        known = [name for name, _ in leaves(config)]
        raise UsageError(f"the recipe has no setting {shown(key)}{_meant(key[:200], known)}")
    old = block.get(last)
    if isinstance(old, dict) and not (opened and not parents):
        raise UsageError(
            f"{key} is a block of settings, set them one by one: {key}.{next(leaves(old))[0]} is one"
        )
    if isinstance(value, dict) is not (opened and not parents):
        raise UsageError(
            f"{key} is {shown(value)}, expected {{...}} for a whole block and a value within one"
        )
    block[last] = fitted(key, value, old)


def _meant(key: str, known: Sequence[str]) -> str:
    """`, did you mean 'x'?` for the setting that is called so, or nearly so, in whole or by its last word."""
    by_word = {word: name for name, word in WORDS.items() if name in known}
    by_last = {name.rpartition(".")[2]: name for name in reversed(known)} | by_word
    if key in by_last:
        return f", did you mean {by_last[key]!r}?"
    if hint := near(key, known):
        return hint
    last = next((last for last in by_last if f"{last!r}" in near(key, by_last)), None)
    return "" if last is None else f", did you mean {by_last[last]!r}?"


def fitted(key: str, value: Any, old: Any) -> Any:
    """`value` for a setting that was `old`, a whole number as a float where that is one.

    UsageError for a value of another kind: numbers of both kinds are alike, a truth value is no number, and
    None, which says nothing of the kind, can become anything.
    """
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < MOST else value  # what is more is refused as it was written
    fits = old is None or _alike(old, value)
    if isinstance(old, list) and old and fits:
        fits = all(_alike(old[0], one) for one in value)
    if not fits:
        raise UsageError(f"{key} is {shown(value)}, expected a value like {json.dumps(old)}")
    return value


def _alike(old: object, new: object) -> bool:
    numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (old, new))
    return numbers or type(old) is type(new)
