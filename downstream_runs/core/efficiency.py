"""What an upstream costs by itself, as results have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from downstream_runs.core.jsontypes import check_fields, filled


@dataclass(frozen=True)
class Quantized:
    """What quantizing made of an upstream.

    kind: `int8`, dynamic.
    layers: how many linear layers it has, all of which were quantized.
    bytes, float_bytes: of parameters and buffers, after and before.
    rtf, float_rtf: seconds of computation for a second of audio on `machine`, after and before.
    machine: the processor in words, with the number of threads.
    """

    kind: Literal["int8"]
    layers: int
    bytes: int
    float_bytes: int
    rtf: float
    float_rtf: float
    machine: str

    def __post_init__(self) -> None:
        check_fields(self)
        filled(self, "layers", "bytes", "float_bytes", "machine")

    def in_words(self) -> str:
        """As a sentence."""
        return (
            f"dynamic {self.kind} of {self.layers} linear layers takes {self.bytes / 1e6:.1f} MB instead of "
            f"{self.float_bytes / 1e6:.1f}, and has the real-time factor {self.rtf:.4f} instead of "
            f"{self.float_rtf:.4f} ({self.machine})"
        )


@dataclass(frozen=True)
class Efficiency:
    """What an upstream costs by itself.

    parameters: all, shared ones once.
    macs: multiply-accumulates of SUPERB's 32 utterances; null where they cannot be counted.
    rtf: real-time factor, seconds of computation for a second of audio.
    peak_memory: bytes of its weights and buffers and of the most that its tensors take while it encodes.
    machine: what rtf and peak_memory were measured on.
    """

    parameters: int
    macs: int | None
    rtf: float
    peak_memory: int
    machine: str

    def __post_init__(self) -> None:
        check_fields(self)
        filled(self, "machine")
