"""From each speaker's activity, frame by frame, to turns in seconds, as SUPERB's scoring makes them.

Source of the steps and of the two lists: s3prl 0.4.18, downstream/diarization/make_rttm.py and score.sh.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from downstream_runs.scoring.rttm import Turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000

MEDIANS: tuple[int, ...] = (1, 11)
"""Frames of the median filter; 1 is none."""

THRESHOLDS: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7)
"""A speaker is active where the probability is greater."""


class Setting(NamedTuple):
    """One way to turn probabilities into turns."""

    median: int
    threshold: float

    def __str__(self) -> str:
        return f"median {self.median}, threshold {self.threshold}"

    @property
    def file(self) -> str:
        """The RTTM file's name, as score.sh has it."""
        return f"hyp_{self.threshold}_{self.median}.rttm"


SETTINGS: tuple[Setting, ...] = tuple(Setting(*pair) for pair in product(MEDIANS, THRESHOLDS))
"""The ten that SUPERB tries, in score.sh's order."""


def turns(
    probabilities: NDArray[np.floating[Any]], setting: Setting, frame_shift: int, name: str
) -> list[Turn]:
    """The turns of each speaker in probabilities `[frame, speaker]`, speaker by speaker.

    `frame_shift`: samples from one frame to the next. A turn runs from the start of its first frame to the
    end of its last; start and duration are rounded to hundredths of a second, each by itself, as the RTTM
    files of SUPERB hold them. Turns that round to nothing are left out. Speakers are called NAME_0, NAME_1.
    """
    import numpy as np
    from scipy.ndimage import median_filter

    # The median around each frame, with silence outside the file.
    loud = (probabilities > setting.threshold).astype(np.int8)
    active = median_filter(loud, size=(setting.median, 1), mode="constant")
    seconds = frame_shift / SAMPLE_RATE
    found = []
    for speaker, frames in enumerate(active.T):
        edges = np.flatnonzero(np.diff(np.pad(frames.astype(np.int8), 1)))
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            start = float(f"{first * seconds:.2f}")
            duration = float(f"{(last - first) * seconds:.2f}")
            if duration > 0:
                found.append(Turn(f"{name}_{speaker}", start, start + duration))
    return found
