"""Which frames are masked: random spans, a whole batch at a time.

The authors take fairseq's masks: spans of uniform length 0 to 20 frames, as many as would cover the nominal
ratio, put one after another (longest first) into the gaps that are left with at least one frame between
them, and then every row of the batch is cut to the smallest number of masked frames among them. The cut
is why the realised fraction is lower than the nominal ratio, the more so the larger the batch: 18
utterances of 10 to 14 s have 0.65 to 0.68 for 0.8 and 0.29 to 0.34 for 0.4, one alone has 0.79 and 0.39.

Here all rows of a batch advance together, span by span.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: From the authors' yaml: `mask_length` 10 with `mask_selection` uniform, `mask_min_space` 1; at least two
#: spans is HuBERT's own.
MEAN_LENGTH = 10
MIN_SPACE = 1
MIN_SPANS = 2

Mask = NDArray[np.bool_]
_Ints = NDArray[np.int64]


def sample_mask(counts: Sequence[int], ratio: float, generator: np.random.Generator) -> Mask:
    """Draw the masks of utterances of `counts` frames each, [batch, frame] of bool, True for masked ones.

    All rows have the same number of masked frames, the smallest that was drawn: of longer ones random
    frames are unmasked again, as in the authors' code. Padding is never masked. `ratio` is the nominal one.
    """
    sizes = np.asarray(counts, dtype=np.int64)
    lengths = _span_lengths(sizes, ratio, generator)
    starts, placed = _place(sizes, lengths, generator)
    rows, columns = np.nonzero(placed)
    edges = np.zeros((len(sizes), int(sizes.max()) + 1), dtype=np.int64)
    begins = starts[rows, columns]
    np.add.at(edges, (rows, begins), 1)
    np.add.at(edges, (rows, begins + lengths[rows, columns]), -1)
    mask = edges.cumsum(axis=1)[:, :-1] > 0
    return _equal_counts(mask, generator)


def _span_lengths(sizes: _Ints, ratio: float, generator: np.random.Generator) -> _Ints:
    """[batch, span], longest first; -1 where a row has fewer spans than others."""
    wanted = (ratio * sizes / MEAN_LENGTH + generator.random(len(sizes))).astype(np.int64)
    spans = np.maximum(wanted, MIN_SPANS)
    lengths = generator.integers(0, 2 * MEAN_LENGTH + 1, (len(sizes), int(spans.max())))
    absent = np.arange(lengths.shape[1]) >= spans[:, None]
    nothing = np.where(absent, 0, lengths).sum(axis=1) == 0
    lengths[nothing, 0] = np.minimum(MEAN_LENGTH, sizes[nothing] - 1)
    lengths[absent] = -1
    return -np.sort(-lengths, axis=1)


def _place(sizes: _Ints, lengths: _Ints, generator: np.random.Generator) -> tuple[_Ints, Mask]:
    """The first frame of each span and whether it found a place, [batch, span] each.

    A gap is chosen with a chance proportional to its size among those that can take the span; a row in
    which no gap can is finished.
    """
    batch, spans = lengths.shape
    row = np.arange(batch)
    shortest = np.where(lengths < 0, lengths.max() + 1, lengths).min(axis=1)
    # Gaps as half-open intervals; every span splits one into two, the right one in a new column.
    first, last = np.zeros((2, batch, spans + 1), dtype=np.int64)
    last[:, 0] = sizes
    starts = np.zeros((batch, spans), dtype=np.int64)
    placed = np.zeros((batch, spans), dtype=bool)
    active = np.ones(batch, dtype=bool)
    for index in range(spans):
        length = lengths[:, index]
        room = last - first
        chances = np.where(room >= (length + MIN_SPACE)[:, None], room, 0).cumsum(axis=1)
        active &= (length >= 0) & (chances[:, -1] > 0)
        if not active.any():
            break
        gap = (chances > (generator.random(batch) * chances[:, -1])[:, None]).argmax(axis=1)
        left, right = first[row, gap], last[row, gap]
        choices = np.maximum(right - left - length, 1)
        begin = left + (generator.random(batch) * choices).astype(np.int64)
        starts[active, index] = begin[active]
        placed[:, index] = active
        after = begin + length + MIN_SPACE
        keep_left = begin - left - MIN_SPACE >= shortest
        keep_right = right - after > shortest
        last[row[active], gap[active]] = np.where(keep_left, begin, left)[active]
        first[active, index + 1] = after[active]
        last[active, index + 1] = np.where(keep_right, right, after)[active]
    return starts, placed


def _equal_counts(mask: Mask, generator: np.random.Generator) -> Mask:
    smallest = int(mask.sum(axis=1).min())
    if smallest == 0:
        return np.zeros_like(mask)
    keys = np.where(mask, generator.random(mask.shape), 2.0)
    threshold = np.partition(keys, smallest - 1, axis=1)[:, smallest - 1]
    return mask & (keys <= threshold[:, None])
