"""The batched DTW against one pair at a time, written otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance

from downstream_runs.bridge import dtw_compat
from downstream_runs.protocols import dtw


def one_pair(query: np.ndarray, document: np.ndarray) -> float:
    """s3prl's definition for one pair, from scipy's distances and the bridge's DTW."""
    cost = np.exp(distance.cdist(query, document, "cosine")) - 1
    low, high = cost.min(1, keepdims=True), cost.max(1, keepdims=True)
    scaled = (cost - low) / np.maximum(high - low, 1e-9)
    return dtw_compat.dtw(scaled, open_begin=True, open_end=True).normalizedDistance


def padded(documents: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [dtw.unit(torch.from_numpy(document)) for document in documents]
    whole = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0.5)
    return whole, torch.tensor([len(document) for document in documents])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    frames=st.integers(1, 12),
    lengths=st.lists(st.integers(1, 15), min_size=1, max_size=5),
)
def test_every_document_of_a_batch_is_as_alone(seed: int, frames: int, lengths: list[int]) -> None:
    random = np.random.default_rng(seed)
    query = random.normal(size=(frames, 4))
    documents = [random.normal(size=(length, 4)) for length in lengths]
    documents[0][-1] = query[0]
    found = dtw.normalized_distances(dtw.unit(torch.from_numpy(query)), *padded(documents))
    wanted = [one_pair(query, document) for document in documents]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-9)


def test_a_query_inside_a_document_costs_nothing_and_elsewhere_something() -> None:
    random = np.random.default_rng(0)
    query = random.normal(size=(8, 6))
    slow = np.repeat(query, 2, axis=0)
    holds = np.concatenate([random.normal(size=(5, 6)), slow, random.normal(size=(4, 6))])
    other = random.normal(size=(25, 6))
    costs = dtw.normalized_distances(dtw.unit(torch.from_numpy(query)), *padded([holds, other]))
    assert costs[0] == pytest.approx(0, abs=1e-9)
    assert costs[1] > 0.1


def test_a_document_of_equal_frames_is_no_division_by_nothing() -> None:
    query = np.ones((6, 3))
    costs = dtw.normalized_distances(dtw.unit(torch.from_numpy(query)), *padded([np.ones((4, 3))]))
    assert costs.tolist() == pytest.approx([0.0], abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_against_the_dtw_package(seed: int) -> None:
    package = pytest.importorskip("dtw", reason="needs dtw-python (GPL), which is no dependency")
    if not hasattr(package, "DTW"):
        pytest.skip("the bridge's stand-in is loaded, not dtw-python")
    random = np.random.default_rng(seed)
    costs = random.uniform(size=(random.integers(2, 40), random.integers(3, 60)))
    theirs = package.dtw(
        costs, step_pattern="asymmetric", open_begin=True, open_end=True, distance_only=False
    ).normalizedDistance
    ours = dtw.subsequence(torch.from_numpy(costs)[None])
    assert ours.item() == pytest.approx(theirs, abs=1e-6)
    assert dtw_compat.dtw(costs, open_begin=True, open_end=True).normalizedDistance == pytest.approx(theirs)
