"""How much is masked, epoch by epoch."""

from __future__ import annotations

import dataclasses

from upstream_arm.common.errors import UpstreamError


@dataclasses.dataclass(frozen=True)
class MaskRatio:
    """The nominal ratio of masked frames: constant, or linear over the epochs as `sch` in Table 4."""

    start: float
    end: float

    def __post_init__(self) -> None:
        for value in (self.start, self.end):
            if not 0 < value < 1:
                raise UpstreamError(
                    f"the mask ratio {value} is not between 0 and 1; give one such as 0.8, or 0.4:0.8 for "
                    "a linear schedule"
                )

    def __str__(self) -> str:
        return f"{self.start:g}" if self.start == self.end else f"{self.start:g}:{self.end:g}"

    def at(self, epoch: int, epochs: int) -> float:
        """The ratio in `epoch`, counted from 0; the authors' schedule would reach `end` after the last."""
        return self.start + (self.end - self.start) * epoch / max(1, epochs)


def parse_ratio(text: str) -> MaskRatio:
    """`0.8`, or `0.4:0.8` for a linear schedule.

    Raises:
        UpstreamError: if it is neither.
    """
    try:
        values = [float(part) for part in text.split(":")]
    except ValueError:
        values = []
    if len(values) not in (1, 2):
        raise UpstreamError(f"the mask ratio {text!r} is no number; give one such as 0.8, or 0.4:0.8")
    return MaskRatio(values[0], values[-1])
