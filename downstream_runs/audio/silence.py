"""The `silence` effect of the sox program, as ASV's trim uses it.

What the effect does is stated in sox(1), section `silence`; the parts that the manual leaves open (a window
of 1/50 s, the mean square over whole windows, the clearing of the window after each cut) were settled by
comparison with sox 14.4.2, sample for sample, which a test repeats where sox is installed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FULL_SCALE = 2**31 - 1
WINDOWS_PER_SECOND = 50
_FIRST_SPAN_SECONDS = 4


@dataclass(frozen=True)
class Silence:
    """Drop sound until it stays loud for `start_seconds`, and cut every gap that lasts `stop_seconds`.

    A frame is loud when the root mean square of the last 1/50 s reaches the threshold, in per cent of full
    scale. A gap is dropped from its first quiet frame to the next stretch that stays loud.
    """

    start_seconds: float
    start_percent: float
    stop_seconds: float
    stop_percent: float

    def apply(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """Return the kept frames of `samples` (`[frame]`, float64 holding 32-bit integers) at `rate` Hz."""
        kept = [samples[:0]]
        position = 0
        while position < len(samples):
            start, stop, position = self._next_stretch(samples, position, rate)
            kept.append(samples[start:stop])
        return np.concatenate(kept)

    def _next_stretch(self, samples: np.ndarray, position: int, rate: int) -> tuple[int, int, int]:
        """The kept stretch `[start, stop)` found from `position` on, and where to go on from."""
        start_frames = round(self.start_seconds * rate)
        stop_frames = round(self.stop_seconds * rate)
        end = len(samples)
        span = _FIRST_SPAN_SECONDS * rate
        # The window starts empty at `position`, so loudness is computed once per stretch; the span grows
        # so that a long file with many short stretches is not computed to its end each time.
        while True:
            limit = min(position + span, end)
            level = _percent_of_full_scale(samples[position:limit], rate // WINDOWS_PER_SECOND)
            opening = _first_run(level >= self.start_percent, start_frames)
            if opening is not None:
                gap = _first_run(level[opening + start_frames :] < self.stop_percent, stop_frames)
                if gap is not None:
                    start = position + opening
                    stop = start + start_frames + gap
                    return start, stop, stop + stop_frames
            if limit == end:
                return (end if opening is None else position + opening), end, end
            span *= 2


def _percent_of_full_scale(samples: np.ndarray, window: int) -> np.ndarray:
    """Root mean square of the last `window` frames, with nothing before the first frame."""
    power = np.square(samples)
    steps = np.zeros(2 * len(power))
    steps[1::2] = power
    steps[2 * window :: 2] = -power[: max(len(power) - window, 0)]
    # One running sum, the old frame out before the new one in: the roundings of adding frame by frame.
    total = np.cumsum(steps)[1::2]
    return np.floor(np.sqrt(np.maximum(total, 0) / window)) / FULL_SCALE * 100


def _first_run(flags: np.ndarray, length: int) -> int | None:
    """Where the first `length` true values in a row begin."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    long_enough = np.flatnonzero(stops - starts >= length)
    return int(starts[long_enough[0]]) if len(long_enough) else None
