"""Span masks against a slow placement row by row, and the fractions measured on the authors' code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upstream_arm.common.errors import UpstreamError
from upstream_arm.distillation.masking import sample_mask
from upstream_arm.distillation.settings import MaskRatio


def spans(row: np.ndarray) -> list[int]:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return list(edges[1::2] - edges[::2])


def slow_mask(size: int, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """One row, span by span, with lists."""
    count = max(2, int(ratio * size / 10 + rng.random()))
    lengths = sorted((int(n) for n in rng.integers(0, 21, count)), reverse=True)
    row, gaps = np.zeros(size, dtype=bool), [(0, size)]
    for length in lengths:
        sizes = np.array([b - a if b - a >= length + 1 else 0 for a, b in gaps], dtype=float)
        if not sizes.sum():
            break
        a, b = gaps.pop(int(rng.choice(len(gaps), p=sizes / sizes.sum())))
        begin = int(rng.integers(a, b - length))
        row[begin : begin + length] = True
        if begin - a - 1 >= lengths[-1]:
            gaps.append((a, begin))
        if b - begin - length - 1 > lengths[-1]:
            gaps.append((begin + length + 1, b))
    return row


@pytest.mark.parametrize(("ratio", "low", "high"), [(0.8, 0.65, 0.68), (0.4, 0.30, 0.34)])
def test_realised_fraction_is_that_of_the_authors_code(ratio: float, low: float, high: float) -> None:
    rng = np.random.default_rng(0)
    batches = [sample_mask([600] * 18, ratio, rng).mean() for _ in range(100)]
    assert low <= float(np.mean(batches)) <= high


@pytest.mark.parametrize("ratio", [0.4, 0.8])
def test_distribution_is_that_of_the_slow_placement(ratio: float) -> None:
    fast, slow = np.random.default_rng(1), np.random.default_rng(2)
    size, rows = 300, 600
    ours = np.concatenate([sample_mask([size], ratio, fast) for _ in range(rows)])
    theirs = np.stack([slow_mask(size, ratio, slow) for _ in range(rows)])
    for statistic in (np.mean, lambda m: np.mean([len(spans(row)) for row in m]) / size * 10):
        assert float(statistic(ours)) == pytest.approx(float(statistic(theirs)), abs=0.012)
    lengths = [np.mean([n for row in masks for n in spans(row)]) for masks in (ours, theirs)]
    assert lengths[0] == pytest.approx(lengths[1], abs=0.35)
    # Where masks fall along the utterance, in ten stretches.
    profiles = [m.reshape(rows, 10, -1).mean(axis=(0, 2)) for m in (ours, theirs)]
    assert np.abs(profiles[0] - profiles[1]).max() < 0.04


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    ratio=st.floats(0.05, 0.95),
    seed=st.integers(0, 1000),
)
def test_invariants(counts: list[int], ratio: float, seed: int) -> None:
    mask = sample_mask(counts, ratio, np.random.default_rng(seed))
    assert mask.shape == (len(counts), max(counts)) and mask.dtype == bool
    assert len(set(mask.sum(axis=1))) == 1  # every row masks as many frames
    for row, count in zip(mask, counts, strict=True):
        assert not row[count:].any()
        assert all(length <= 20 for length in spans(row))
        assert not row[:count].all()


def test_a_seed_fixes_the_masks() -> None:
    one, two, other = (sample_mask([200, 190], 0.8, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (one == two).all() and not (one == other).all()


def test_table_4s_schedule() -> None:
    ratio = MaskRatio.parse("0.4:0.8")
    values = [ratio.at(epoch, 200) for epoch in range(200)]
    assert values == pytest.approx(np.linspace(0.4, 0.8, 201)[:-1])
    assert MaskRatio.parse("0.8") == MaskRatio(0.8, 0.8) and MaskRatio.parse("0.8").at(7, 9) == 0.8
    assert (str(ratio), str(MaskRatio.parse("0.40"))) == ("0.4:0.8", "0.4")


@pytest.mark.parametrize("text", ["", "x", "0.1:0.2:0.3", "0", "1", "1.2", "0.4:8", "nan"])
def test_bad_ratios_are_refused(text: str) -> None:
    with pytest.raises(UpstreamError, match="mask ratio"):
        MaskRatio.parse(text)
