"""What the user asks of stored features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from upstream_arm.common.errors import UsageError

Mode = Literal["off", "memory", "disk", "auto"]
Precision = Literal["fp16", "bf16", "fp32"]

MODES: tuple[Mode, ...] = ("off", "memory", "disk", "auto")
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
