"""What a run stores of its upstream's features, and what that changes in its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from downstream_runs.core.feature_options import FeatureOptions, Mode, Precision

Kind = Literal["frames", "pooled"]

FEW_UTTERANCES = 500
"""A corpus of no more training utterances has its frames kept in memory by `auto`."""


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
