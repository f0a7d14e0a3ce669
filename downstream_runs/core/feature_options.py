"""What the user asks of stored features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["off", "memory", "disk", "auto"]
Precision = Literal["fp16", "bf16", "fp32"]

DTYPES: dict[Precision, str] = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
"""Precision -> torch's name of the type."""


@dataclass(frozen=True)
class FeatureOptions:
    """What the user asks of stored features.

    mode: `off` computes them in every pass, as stock s3prl does; `memory` and `disk` store them; `auto`
    stores them where that changes no number but for rounding in fp32: for an upstream that does not depend on
    the batch, pooled items on disk, and the frames of a small corpus in memory.
    precision: of stored frames, but for those that it does not hold; pooled items are always fp32.
    limit: bytes of all items; None for MEMORY_BYTES in memory, for what the disk has on disk.
    """

    mode: Mode = "off"
    precision: Precision = "fp16"
    limit: int | None = None
