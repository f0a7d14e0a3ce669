"""Subsequence dynamic time warping of many queries with many documents at once.

Formulas, as s3prl 0.4.18's `downstream/quesst14_dtw/expert.py` has them by its default configuration: the
distance of two frames is exp(1 - cosine similarity) - 1; each query frame's distances are brought to 0...1
over the document's frames; the path takes each query frame once and moves 0, 1 or 2 document frames (the
asymmetric step pattern of Sakoe and Chiba), begins and ends anywhere in the document, and its cost is divided
by the number of query frames. All in 64-bit floats, as there.

The documents lie one after another with a gap of two frames between them, whose distances are infinite: a
path moves by two frames at most, so none leaves its document, and nothing is padded.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from upstream_arm.common import devices

SMALLEST_RANGE = 1e-9  # s3prl's bound on the divisor
GAP = 2
"""Frames between two documents: the most that a path moves."""
LARGEST = 16_000_000
"""Distances computed at once, 128 MB of 64-bit floats; more only where one query has more."""


@dataclass(frozen=True)
class Documents:
    """Documents one after another.

    frames: `[frame, feature]`, of length 1; those in gaps are of no meaning. spans: where each document is.
    """

    frames: torch.Tensor
    spans: tuple[slice, ...]

    def gaps(self) -> Iterator[slice]:
        """Where no document is."""
        for before in self.spans[:-1]:
            yield slice(before.stop, before.stop + GAP)


def spans(lengths: Sequence[int]) -> tuple[slice, ...]:
    """Where documents of so many frames each lie in `Documents.frames`."""
    found: list[slice] = []
    for length in lengths:
        start = found[-1].stop + GAP if found else 0
        found.append(slice(start, start + length))
    return tuple(found)


def costs(queries: Sequence[torch.Tensor], documents: Documents) -> torch.Tensor:
    """The cost of each query's best path in each document, per query frame: `[query, document]`.

    queries: `[query frame, feature]` each, frames of length 1, at least one frame each.
    """

    found = documents.frames.new_empty(len(queries), len(documents.spans))
    for group in _groups(queries, len(documents.frames)):
        distances = cosine_exp(_interleaved([queries[number] for number in group]), documents.frames)
        minmax_(distances, documents)
        lengths = [len(queries[number]) for number in group]
        paths = subsequence(distances, lengths)
        best = torch.stack([paths[:, span].amin(dim=1) for span in documents.spans], dim=1)
        found[group] = best / devices.to_device(torch.tensor(lengths), best.device)[:, None]
    return found


def cosine_exp(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """exp(1 - cosine) - 1 of frames of length 1: `[query frame, document frame]`."""

    # Rounding brings products of equal frames above 1; scipy, which s3prl calls, cuts there too.
    cosine = torch.mm(queries, documents.T).clamp_(-1.0, 1.0)
    return cosine.neg_().add_(1.0).expm1_()


def minmax_(distances: torch.Tensor, documents: Documents) -> None:
    """Bring each row of `[query frame, document frame]` to 0...1 over each document; infinite in gaps."""

    for span in documents.spans:
        inside = distances[:, span]
        lowest, highest = torch.aminmax(inside, dim=1, keepdim=True)
        inside.sub_(lowest).div_((highest - lowest).clamp_(min=SMALLEST_RANGE))
    for gap in documents.gaps():
        distances[:, gap] = float("inf")


def subsequence(distances: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """Cost of the best path of each query to each document frame, `[query, document frame]`.

    distances: `[query frame, document frame]`; first the first frame of every query, then the second of those
    that have two, and so on. lengths: the queries' numbers of frames, the longest first.
    """

    paths = distances.new_empty(len(lengths), distances.shape[1])
    cost, start = distances[: len(lengths)], len(lengths)
    for frame in range(1, lengths[0]):
        going = sum(length > frame for length in lengths)
        paths[going : len(cost)] = cost[going:]
        cost = cost[:going]
        before = cost.clone()
        for move in range(1, GAP + 1):
            torch.minimum(before[:, move:], cost[:, :-move], out=before[:, move:])
        cost = before.add_(distances[start : start + going])
        start += going
    paths[: len(cost)] = cost
    return paths


def unit_(frames: torch.Tensor) -> torch.Tensor:
    """Scale frames `[frame, feature]` to length 1; a frame of zeros becomes not a number, as in scipy."""
    return frames.div_(frames.norm(dim=-1, keepdim=True))


def _groups(queries: Sequence[torch.Tensor], frames: int) -> Iterator[list[int]]:
    """Numbers of queries whose distances to so many frames are computed at once, the longest first."""
    group: list[int] = []
    rows = 0
    for number in sorted(range(len(queries)), key=lambda number: -len(queries[number])):
        length = len(queries[number])
        if group and (rows + length) * frames > LARGEST:
            yield group
            group, rows = [], 0
        group.append(number)
        rows += length
    if group:
        yield group


def _interleaved(queries: Sequence[torch.Tensor]) -> torch.Tensor:
    """Frames of queries, the longest first, in the order that `subsequence` takes them."""

    lengths = [len(query) for query in queries]
    starts = [0, *itertools.accumulate(lengths[:-1])]
    places = list(zip(starts, lengths, strict=True))
    order = [start + row for row in range(lengths[0]) for start, length in places if row < length]
    return torch.cat(list(queries))[order]
