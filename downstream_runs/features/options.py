"""What a run stores of its upstream's features, and what that changes in its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from upstream_arm.common.errors import UsageError

Mode = Literal["off", "memory", "disk", "auto"]
Kind = Literal["frames", "pooled"]
Precision = Literal["fp16", "bf16", "fp32"]

MODES: tuple[Mode, ...] = ("off", "memory", "disk", "auto")
DTYPES: dict[Precision, str] = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
"""Precision -> torch's name of the type."""

FEW_UTTERANCES = 500
"""A corpus of no more training utterances has its frames kept in memory by `auto`."""


@dataclass(frozen=True)
class FeatureOptions:
    """What the user asks of stored features.

    mode: `off` computes them in every pass, as stock s3prl does; `memory` and `disk` store them; `auto`
    stores them where that changes no number but for rounding in fp32: for an upstream that does not depend on
    the batch, pooled items on disk, and the frames of a small corpus in memory.
    precision: of stored frames, but for those that it does not hold; pooled items are always fp32.
    limit: bytes of all items; None for MEMORY_BYTES in memory, for what the disk has on disk.
    Raises UsageError for a mode or a precision that there is none of.
    """

    mode: Mode = "off"
    precision: Precision = "fp16"
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"--features {self.mode!r} is unknown, expected one of {', '.join(MODES)}")
        if self.precision not in DTYPES:
            raise UsageError(
                f"--features-precision {self.precision!r} is unknown, expected one of {', '.join(DTYPES)}"
            )


@dataclass(frozen=True)
class StoredKind:
    """What a run stores and where, as its result says it: FeatureOptions without `auto`."""

    mode: Mode
    kind: Kind = "frames"
    precision: Precision = "fp32"


def choose(options: FeatureOptions, poolable: bool, batch_free: bool, utterances: int) -> StoredKind:
    """Settle `auto`, kind and precision for a task and an upstream.

    poolable: the task's head has only linear maps around mean pooling. batch_free: the upstream's features of
    an utterance do not depend on its batch. utterances: how many are trained on.
    """
    if options.mode == "off":
        return StoredKind("off")
    if options.mode != "auto":
        if poolable:
            return StoredKind(options.mode, "pooled")
        return StoredKind(options.mode, "frames", options.precision)
    if batch_free and poolable:
        return StoredKind("disk", "pooled")
    return StoredKind("memory" if batch_free and utterances <= FEW_UTTERANCES else "off")


def deviations(stored: StoredKind, batch_free: bool, widened: bool = False) -> tuple[str, ...]:
    """What storing changes in the numbers, a sentence each.

    widened: some frames are in fp32, since the precision does not hold them.
    """
    sentences = []
    if stored.mode != "off" and stored.precision != "fp32":
        rest = ", but for those that it does not hold, which stay in fp32" if widened else ""
        sentences.append(f"stored features are rounded to {stored.precision}{rest}")
    if stored.mode != "off" and not batch_free:
        sentences.append(
            "each utterance has the features that it gets alone; s3prl computes them in a batch, where this "
            "upstream's features depend on padding"
        )
    return tuple(sentences)


def is_batch_free(upstream: Any) -> bool:
    """Whether an upstream says that an utterance's features do not depend on its batch (`batching` exact)."""
    return dict(getattr(upstream, "switches", None) or {}).get("batching") == "exact"
