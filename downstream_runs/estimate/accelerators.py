"""Accelerators by their vendors' figures, and the seconds that counts take on them at best."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from downstream_runs.estimate.counts import Counts
from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import near

Part = Literal["launches", "arithmetic", "memory"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Device:
    """An accelerator's published figures: peaks in FLOPs a second by precision; memory and link, over which
    stored features come from the host, in bytes a second; kernel: seconds to launch one. operation: seconds
    of the host for one of torch's operations before it launches, which is no figure of the device's.
    """

    title: str
    source: str
    fp64: float
    fp32: float
    tf32: float
    bf16: float
    memory: float
    link: float
    kernel: float
    operation: float = 0.0

    def part(self, part: Part, counts: Counts) -> float:
        """Seconds that one part alone takes at least."""
        if part == "launches":
            return counts.kernels * (self.kernel + self.operation) + counts.steps * self.kernel
        if part == "memory":
            return (counts.products + counts.others) / self.memory
        peaks = ("fp64", "fp32", "tf32", "bf16")
        return sum(float(getattr(counts, name) / getattr(self, name)) for name in peaks)

    def seconds(self, counts: Counts) -> float:
        """Of all of it: the host launches while the device computes, so the longer of the two counts.

        The device reads and writes while it multiplies; operations without products follow one another.
        """
        products = max(self.part("arithmetic", counts), counts.products / self.memory)
        return max(self.part("launches", counts), products + counts.others / self.memory)


def named(name: str) -> Device:
    """The device of that name, in any case; UsageError for one that is not known."""
    table = json.loads((Path(__file__).parent / "accelerators.json").read_text(encoding="utf-8"))
    known, wanted = table["devices"], name.strip().lower()
    if wanted not in known:
        raise UsageError(
            f"--device-model {name} is not known{near(wanted, known)}; known are: {', '.join(known)}"
        )
    return Device(**known[wanted], kernel=table["kernel"])
