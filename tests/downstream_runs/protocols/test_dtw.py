"""The batched DTW against one pair at a time, written otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance

from downstream_runs.bridge import stand_ins
from downstream_runs.protocols import dtw

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "dtw-python.json").read_text())


def one_pair(query: np.ndarray, document: np.ndarray) -> float:
    """s3prl's definition for one pair, from scipy's distances and the bridge's DTW."""
    cost = np.exp(distance.cdist(query, document, "cosine")) - 1
    low, high = cost.min(1, keepdims=True), cost.max(1, keepdims=True)
    scaled = (cost - low) / np.maximum(high - low, 1e-9)
    return stand_ins.dtw(scaled, open_begin=True, open_end=True).normalizedDistance


def unit(frames: np.ndarray) -> torch.Tensor:
    return dtw.unit_(torch.from_numpy(frames).clone())


def joined(documents: list[np.ndarray]) -> dtw.Documents:
    spans = dtw.spans([len(document) for document in documents])
    whole = torch.full((spans[-1].stop, documents[0].shape[1]), 0.5, dtype=torch.float64)
    for span, document in zip(spans, documents, strict=True):
        whole[span] = unit(document)
    return dtw.Documents(whole, spans)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    frames=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    lengths=st.lists(st.integers(1, 15), min_size=1, max_size=5),
    largest=st.sampled_from([1, 150, 10_000]),
)
def test_every_query_in_every_document_is_as_alone(
    seed: int, frames: list[int], lengths: list[int], largest: int
) -> None:
    random = np.random.default_rng(seed)
    queries = [random.normal(size=(count, 4)) for count in frames]
    documents = [random.normal(size=(length, 4)) for length in lengths]
    documents[0][-1] = queries[0][0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dtw, "LARGEST", largest)
        found = dtw.costs([unit(query) for query in queries], joined(documents))
    wanted = [[one_pair(query, document) for document in documents] for query in queries]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-9)


def test_a_query_inside_a_document_costs_nothing_and_elsewhere_something() -> None:
    random = np.random.default_rng(0)
    query = random.normal(size=(8, 6))
    slow = np.repeat(query, 2, axis=0)
    holds = np.concatenate([random.normal(size=(5, 6)), slow, random.normal(size=(4, 6))])
    other = random.normal(size=(25, 6))
    (costs,) = dtw.costs([unit(query)], joined([holds, other]))
    assert costs[0] == pytest.approx(0, abs=1e-9)
    assert costs[1] > 0.1


def test_a_document_of_equal_frames_is_no_division_by_nothing() -> None:
    query = np.ones((6, 3))
    (costs,) = dtw.costs([unit(query)], joined([np.ones((4, 3))]))
    assert costs.tolist() == pytest.approx([0.0], abs=1e-6)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: str(case["seed"]))
def test_against_the_dtw_package(case: dict[str, Any]) -> None:
    random = np.random.default_rng(case["seed"])
    distances = random.uniform(size=(case["query_frames"], case["document_frames"]))
    (path,) = dtw.subsequence(torch.from_numpy(distances), [len(distances)])
    assert path.min().item() / len(distances) == pytest.approx(case["normalized_distance"], abs=1e-12)
    stand_in = stand_ins.dtw(distances, open_begin=True, open_end=True)
    assert stand_in.normalizedDistance == pytest.approx(case["normalized_distance"], abs=1e-12)
