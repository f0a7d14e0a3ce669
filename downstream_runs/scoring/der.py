"""Diarization error rate as dscore computes it, which is how SUPERB scores SD.

Definition: (missed + false alarm + confused speaker time) / reference speaker time, pooled over the files,
where at any moment with n reference and m hypothesis speakers, max(n-m, 0) are missed, max(m-n, 0) are false
alarms, and of the min(n, m) others those are confused that the mapping does not pair. The mapping pairs
speakers of one file one to one such that the time they speak together is greatest. By default nothing is
forgiven (collar 0), overlapping speech is scored, and, without a UEM, a file is scored from the first to the
last time in reference or hypothesis. Source: NIST RT-09 evaluation plan, as github.com/nryant/dscore computes
it with md-eval 22, called by s3prl's `downstream/diarization/score.sh`.

As in dscore, starts and durations are rounded to milliseconds, turns are cut to the scored regions, and turns
of one speaker that overlap are merged. A collar takes the time around each reference start and end out of the
score, not out of the mapping; `ignore_overlaps` takes out the moments with two or more reference speakers.

md-eval by itself scores another region where no UEM is given (that of the reference), which can be lower:
7.63 % against 8.85 % on one test of ours. It also leaves NON-LEX zones of the reference RTTM out, which
dscore does not. What differs from both: in a file without any reference speech they count no false alarm,
this counts all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from downstream_runs.scoring.counts import Counts
from downstream_runs.scoring.names import same
from downstream_runs.scoring.rttm import Turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Times = NDArray[np.int64]
    Flags = NDArray[np.bool_]

Region = tuple[float, float]
Span = tuple[int, int]  # milliseconds


@dataclass(frozen=True)
class DiarizationCounts(Counts):
    """Speaker time over some files, in seconds (whole milliseconds).

    scored: reference speaker time. missed, false_alarm, confused: wrong speaker time. files: how many.
    """

    scored: float = 0.0
    missed: float = 0.0
    false_alarm: float = 0.0
    confused: float = 0.0
    files: int = 0

    def __add__(self, other: DiarizationCounts) -> DiarizationCounts:
        total = super().__add__(other)
        if total is NotImplemented:
            return NotImplemented
        # Sums of whole milliseconds stay whole, whatever the order of files.
        return DiarizationCounts(*(round(value, 3) for value in astuple(total)))

    @property
    def errors(self) -> float:
        """Wrong speaker time in seconds."""
        return round(self.missed + self.false_alarm + self.confused, 3)

    @property
    def rate(self) -> float:
        """errors / scored, a fraction that false alarms can push above 1.

        Raises ValueError when the reference has no speech in the scored regions.
        """
        if self.scored == 0:
            raise ValueError(f"no diarization error rate: {self.files} files without reference speech")
        return self.errors / self.scored


def score(
    ref: Mapping[str, Sequence[Turn]],
    hyp: Mapping[str, Sequence[Turn]],
    uem: Mapping[str, Sequence[Region]] | None = None,
    collar: float = 0.0,
    ignore_overlaps: bool = False,
) -> DiarizationCounts:
    """Pool the speaker time of all files, from file name -> turns of reference and hypothesis.

    A file in which nobody speaks has an empty sequence of turns. uem: file name -> scored regions in seconds.
    collar: seconds before and after each reference start and end that are not scored. Raises ScoringError
    when a file is in only one of the mappings, ValueError for a negative collar.
    """
    same(ref, hyp, "reference files", "hypotheses", "give the turns of every file, no turns where none are")
    if uem is not None:
        same(ref, uem, "reference files", "regions of the UEM", "give a UEM for exactly the files to score")
    total = DiarizationCounts()
    for name, turns in ref.items():
        regions = None if uem is None else uem[name]
        total += score_file(turns, hyp[name], regions, collar, ignore_overlaps)
    return total


def score_file(
    ref: Sequence[Turn],
    hyp: Sequence[Turn],
    regions: Sequence[Region] | None = None,
    collar: float = 0.0,
    ignore_overlaps: bool = False,
) -> DiarizationCounts:
    """The speaker time of one file, within `regions` or else from the first to the last time of any turn."""
    import numpy as np

    if not collar >= 0:
        raise ValueError(f"the collar is {collar} s, 0 or more was expected")
    if regions is None:
        every = [*ref, *hyp]
        if not every:
            return DiarizationCounts(files=1)
        regions = [(min(turn.start for turn in every), max(turn.end for turn in every))]
    inside = _union([(_milliseconds(start), _milliseconds(end)) for start, end in regions], touching=True)
    expected, found = _by_speaker(ref, inside), _by_speaker(hyp, inside)
    groups = [*expected, *found, _collars(expected, _milliseconds(collar))]
    times = [time for group in groups for span in group for time in span]
    edges = np.unique(np.asarray(times, dtype=np.int64))
    flags = np.stack([_active(edges, group) for group in groups])
    counted = ~flags[-1]
    if ignore_overlaps:
        counted &= flags[: len(expected)].sum(axis=0) < 2
    return _count(np.diff(edges), flags[: len(expected)], flags[len(expected) : -1], counted)


def _count(lengths: Times, ref: Flags, hyp: Flags, counted: Flags) -> DiarizationCounts:
    """Speaker time from who speaks (`[speaker, stretch]`) in stretches of `lengths` milliseconds."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    together = (ref * lengths) @ hyp.T.astype(np.int64)
    rows, columns = linear_sum_assignment(together, maximize=True)
    right = (ref[rows] & hyp[columns]).sum(axis=0)
    expected, found = ref.sum(axis=0), hyp.sum(axis=0)
    weights = lengths * counted

    def seconds(speakers: Times) -> float:
        return int(speakers @ weights) / 1000

    return DiarizationCounts(
        scored=seconds(expected),
        missed=seconds(np.maximum(expected - found, 0)),
        false_alarm=seconds(np.maximum(found - expected, 0)),
        confused=seconds(np.minimum(expected, found) - right),
        files=1,
    )


def _active(edges: Times, spans: Sequence[Span]) -> Flags:
    """Which of the stretches between `edges` lie in one of `spans`."""
    import numpy as np

    flags = np.zeros(max(len(edges) - 1, 0), dtype=np.bool_)
    for start, end in spans:
        first, last = np.searchsorted(edges, (start, end))
        flags[first:last] = True
    return flags


def _by_speaker(turns: Sequence[Turn], regions: Sequence[Span]) -> list[list[Span]]:
    """The spans of each speaker, cut to the regions and merged where they overlap."""
    spoken: dict[str, list[Span]] = {}
    for turn in turns:
        begin = _milliseconds(turn.start)
        # Start and duration are what an RTTM file holds, so these are what dscore rounds.
        finish = begin + _milliseconds(turn.end - turn.start)
        for start, end in regions:
            cut = (max(start, begin), min(end, finish))
            if cut[0] < cut[1]:
                spoken.setdefault(turn.speaker, []).append(cut)
    # Turns that only touch stay two: a collar lies around the moment between them.
    return [_union(spans, touching=False) for spans in spoken.values()]


def _union(spans: Sequence[Span], touching: bool) -> list[Span]:
    """Overlapping spans made one, in order of time; those that only touch as well if `touching`."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and (start < merged[-1][1] or (touching and start == merged[-1][1])):
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _milliseconds(seconds: float) -> int:
    return round(float(f"{seconds:.3f}") * 1000)


def _collars(speakers: Sequence[Sequence[Span]], collar: int) -> list[Span]:
    if not collar:
        return []
    return [(time - collar, time + collar) for spans in speakers for span in spans for time in span]
