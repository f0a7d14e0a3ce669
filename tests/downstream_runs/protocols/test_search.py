"""All trials of a layer against s3prl's definition, one trial at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_dtw import one_pair

from downstream_runs.corpora.quesst14 import Recording
from downstream_runs.protocols import dtw, search
from downstream_runs.protocols.layers import LayerStore
from downstream_runs.protocols.search import Search
from upstream_arm.common.errors import RunFailed

FRAMES = {"documents": (20, 9, 31, 14, 25), "dev": (6, 4, 9), "eval": (7,)}
DEVICE = torch.device("cpu")


def bar(items: Any, *, desc: str, total: int) -> Any:
    return items


def features(name: str) -> np.ndarray:
    group, number = name.split("-")
    random = np.random.default_rng([len(group), int(number)])
    # Means and ranges that differ from feature to feature, so that normalisation matters.
    return (random.normal(size=(FRAMES[group][int(number)], 3)) * [1, 5, 0.2] + [4, 0, -1]).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LayerStore:
    groups = {
        group: [Recording(f"{group}-{n}", Path("x"), float(frames)) for n, frames in enumerate(lengths)]
        for group, lengths in FRAMES.items()
    }
    monkeypatch.setattr(search, "BLOCK_SECONDS", 50.0)
    monkeypatch.setattr("downstream_runs.protocols.layers.CHUNK_SECONDS", 30.0)
    made = LayerStore(tmp_path / "features", "upstream", groups, "float32")
    made.fill(lambda one: torch.from_numpy(features(one.name))[None], bar)
    return made


def names(group: str) -> list[str]:
    return [f"{group}-{n}" for n in range(len(FRAMES[group]))]


def expected() -> dict[str, dict[str, float]]:
    """Straight from the definition."""
    every = np.concatenate([features(name) for group in ("dev", "documents") for name in names(group)])
    mean, deviation = every.mean(0), every.std(0, ddof=1)
    normal = {
        name: (features(name) - mean) / deviation for group in ("dev", "documents") for name in names(group)
    }
    found = {}
    for query in names("dev"):
        short = len(normal[query]) < 5
        raw = np.array([0.0 if short else -one_pair(normal[query], normal[d]) for d in names("documents")])
        scores = (raw - raw.mean()) / max(raw.std(), 1e-9)
        found[query] = dict(zip(names("documents"), scores, strict=True))
    return found


def test_every_trial_is_as_defined(store: LayerStore, tmp_path: Path) -> None:
    found = Search(store, 0, "dev", DEVICE, tmp_path / "partial.npy").scores(bar)
    wanted = expected()
    assert found.keys() == wanted.keys()
    for query, scores in found.items():
        assert list(scores) == names("documents")
        assert scores == pytest.approx(wanted[query], abs=1e-5)
    assert set(found["dev-1"].values()) == {0.0}, "a query of 4 frames is not searched"


def test_a_killed_search_goes_on_where_it_was(
    store: LayerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = dtw.costs, [0]

    def counted(*arguments: Any) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(dtw, "costs", counted)
    one = Search(store, 0, "dev", DEVICE, tmp_path / "partial.npy")
    blocks = 3
    with pytest.raises(KeyboardInterrupt):
        one.scores(bar)
    found = one.scores(bar)
    assert calls[0] == 2 + (blocks - 1), "the first block was kept"
    for query, scores in expected().items():
        assert found[query] == pytest.approx(scores, abs=1e-5)


def test_a_partial_file_that_is_damaged_is_not_used(store: LayerStore, tmp_path: Path) -> None:
    partial = tmp_path / "partial.npy"
    partial.write_bytes(b"half")
    Search(store, 0, "dev", DEVICE, partial).scores(bar)
    assert np.load(partial).shape == (3, 5)


def test_scores_that_are_no_numbers_stop_the_run(tmp_path: Path) -> None:
    groups = {group: [Recording(f"{group}-0", Path("x"), 1.0)] for group in ("documents", "dev")}
    made = LayerStore(tmp_path / "features", "upstream", groups, "float32")
    made.fill(lambda one: torch.ones(1, 6, 2), bar)
    with pytest.raises(RunFailed, match=r"layer 0 gives 1 scores .* query dev-0 in document documents-0"):
        Search(made, 0, "dev", DEVICE, tmp_path / "partial.npy").scores(bar)


@pytest.mark.parametrize(("group", "refused"), [("documents", True), ("dev", False)])
def test_a_recording_without_frames(group: str, refused: bool, tmp_path: Path) -> None:
    groups = {
        name: [Recording(f"{name}-0", Path("x"), 1.0), Recording(f"{name}-1", Path("x"), 90.0)]
        for name in ("documents", "dev")
    }
    made = LayerStore(tmp_path / "features", "upstream", groups, "float32")
    made.fill(lambda one: torch.randn(1, 0 if one.name == f"{group}-0" else 9, 2), bar)
    search = Search(made, 0, "dev", DEVICE, tmp_path / "partial.npy")
    if refused:
        with pytest.raises(RunFailed, match="document documents-0 is too short"):
            search.scores(bar)
    else:  # as any query of fewer than 5 frames
        assert set(search.scores(bar)["dev-0"].values()) == {0.0}
