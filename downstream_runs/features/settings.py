"""What a run stores of its upstream's features, and what that changes in its numbers."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from upstream_arm.common.errors import UsageError

Mode = Literal["off", "memory", "disk", "auto"]
Kind = Literal["frames", "pooled"]
Precision = Literal["fp16", "bf16", "fp32"]

MODES: tuple[Mode, ...] = ("off", "memory", "disk", "auto")
PRECISIONS: tuple[Precision, ...] = ("fp16", "bf16", "fp32")

FEW_UTTERANCES = 500
"""A corpus of no more training utterances has its frames kept in memory by `auto`."""

MEMORY_BYTES = 4_000_000_000
"""What `memory` takes at most where no bound is given."""

VERSION = 3
"""To be raised when an item of the same key would hold something else."""


@dataclass(frozen=True)
class Settings:
    """How a run uses stored features.

    mode: `off` computes them in every pass, as stock s3prl does; `memory` and `disk` store them; `auto`
    stores them where that changes no number but for rounding in fp32: for an upstream that does not depend on
    the batch, pooled items on disk, and the frames of a small corpus in memory.
    precision: of stored frames, but for those that it does not hold; pooled items are always fp32. limit:
    bytes of all items.
    """

    mode: Mode = "off"
    precision: Precision = "fp16"
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"--features {self.mode!r} is unknown, expected one of {', '.join(MODES)}")
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"--features-precision {self.precision!r} is unknown, expected one of {', '.join(PRECISIONS)}"
            )


@dataclass(frozen=True)
class Choice:
    """What a run stores, as its result says it; `mode` is `off`, `memory` or `disk`."""

    mode: Mode
    kind: Kind = "frames"
    precision: Precision = "fp32"


def choose(settings: Settings, poolable: bool, batch_free: bool, utterances: int) -> Choice:
    """Settle `auto`, kind and precision for a task and an upstream.

    poolable: the task's head has only linear maps around mean pooling. batch_free: the upstream's features of
    an utterance do not depend on its batch. utterances: how many are trained on.
    """
    if settings.mode == "off":
        return Choice("off")
    if settings.mode != "auto":
        kind: Kind = "pooled" if poolable else "frames"
        precision = "fp32" if poolable else settings.precision
        return Choice(settings.mode, kind, precision)
    if batch_free and poolable:
        return Choice("disk", "pooled", "fp32")
    if batch_free and utterances <= FEW_UTTERANCES:
        return Choice("memory", "frames", "fp32")
    return Choice("off")


def deviations(choice: Choice, batch_free: bool) -> tuple[str, ...]:
    """What the choice changes in the numbers, a sentence each."""
    if choice.mode == "off":
        return ()
    found = []
    if choice.precision != "fp32":
        found.append(rounded(choice))
    if not batch_free:
        found.append(
            "each utterance has the features that it gets alone; s3prl computes them in a batch, where this "
            "upstream's features depend on padding"
        )
    return tuple(found)


def rounded(choice: Choice, widened: bool = False) -> str:
    """What the precision changes; widened: some frames are in fp32, since it does not hold them."""
    plain = f"stored features are rounded to {choice.precision}"
    return f"{plain}, but for those that it does not hold, which stay in fp32" if widened else plain


def held_bytes() -> int:
    """What pooled items on disk may take of memory too: a quarter of this machine's, at most MEMORY_BYTES."""
    return min(MEMORY_BYTES, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)


def is_batch_free(upstream: Any) -> bool:
    """Whether an upstream says that an utterance's features do not depend on its batch (`batching` exact)."""
    return dict(getattr(upstream, "switches", None) or {}).get("batching") == "exact"


def folder(cache: Path, identity: str) -> Path:
    """Where an upstream's items are, below the folder of caches."""
    return cache / "features" / identity[:16]


def identity(
    name: str, files: Sequence[str | None], weights_sha256: str, switches: Mapping[str, Any], code: str
) -> str:
    """SHA-256 over what decides an upstream's features.

    name: of the hub entry, since fbank and mfcc have no weights to tell them apart. files: the contents'
    hashes of its checkpoint and model configuration. code: `provenance.identity`.
    """
    text = json.dumps([name, *files, weights_sha256, dict(switches), code], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
