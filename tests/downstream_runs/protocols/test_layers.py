"""The features of all layers on disk."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from downstream_runs.corpora.quesst14 import Recording
from downstream_runs.protocols.layers import LayerStore
from upstream_arm.common.errors import RunFailed

SECONDS = {"a": 50.0, "b": 70.0, "c": 1.0, "d": 90.0, "e": 119.0}


def bar(items: Any, *, desc: str, total: int) -> Any:
    return items


def recordings() -> list[Recording]:
    return [Recording(name, Path(f"{name}.wav"), seconds) for name, seconds in SECONDS.items()]


def states(recording: Recording) -> torch.Tensor:
    """Two layers, as many frames as seconds."""
    generator = torch.Generator().manual_seed(ord(recording.name))
    frames = int(recording.seconds)
    return torch.randn(2, frames, 3, generator=generator)


def store(folder: Path, dtype: str = "float32") -> LayerStore:
    return LayerStore(folder, "upstream", {"documents": recordings(), "dev": recordings()[:2]}, dtype)


def names(chunk: list[Recording]) -> list[str]:
    return [one.name for one in chunk]


def stored(filled: LayerStore, layer: int) -> dict[str, np.ndarray]:
    return {
        name: np.array(frames)
        for chunk in filled.groups["documents"]
        for name, frames in zip(names(chunk), filled.read("documents", chunk, layer), strict=True)
    }


def test_what_is_read_is_what_was_computed(tmp_path: Path) -> None:
    filled = store(tmp_path / "features")
    assert filled.fill(states, bar) == 2
    for layer in range(2):
        found = stored(filled, layer)
        assert set(found) == set(SECONDS)
        for recording in recordings():
            assert np.array_equal(found[recording.name], states(recording)[layer].numpy())
    chunks = [names(chunk) for chunk in filled.groups["documents"]]
    assert chunks == [["c", "a"], ["b"], ["d"], ["e"]]


def test_a_kill_costs_one_chunk_at_most(tmp_path: Path) -> None:
    computed: list[str] = []

    def dies(recording: Recording) -> torch.Tensor:
        computed.append(recording.name)
        if len(computed) == 4:
            raise KeyboardInterrupt
        return states(recording)

    folder = tmp_path / "features"
    with pytest.raises(KeyboardInterrupt):
        store(folder).fill(dies, bar)
    computed.clear()

    def goes_on(recording: Recording) -> torch.Tensor:
        computed.append(recording.name)
        return states(recording)

    again = store(folder)
    assert again.fill(goes_on, bar) == 2
    assert computed == ["d", "e", "a", "b"]  # two documents, and the queries of dev
    assert again.fill(lambda recording: pytest.fail("computed twice"), bar) == 2
    assert np.array_equal(stored(again, 1)["b"], states(recordings()[1])[1].numpy())


def test_half_precision_is_near_and_half_the_size(tmp_path: Path) -> None:
    half = store(tmp_path / "half", "float16")
    half.fill(lambda recording: states(recording).half(), bar)
    found = stored(half, 0)["e"]
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, states(recordings()[4])[0].numpy(), atol=2e-3)


@pytest.mark.parametrize(
    ("value", "dtype", "says"),
    [
        (float("nan"), "float32", "layer 0 of the upstream gives c features that are not finite numbers"),
        (float("inf"), "float16", "layer 0 of the upstream gives c features that are not finite numbers"),
        (1e5, "float16", "float16 does not hold the features of c: .*feature_store=float32"),
        (1e-5, "float16", "float16 does not hold the features of c: .*feature_store=float32"),
    ],
)
def test_what_is_no_number_or_cannot_be_held_stops_the_run(
    tmp_path: Path, value: float, dtype: str, says: str
) -> None:
    with pytest.raises(RunFailed, match=says):
        store(tmp_path / "features", dtype).fill(lambda one: torch.full((1, 2, 2), value), bar)


def test_a_disk_without_room_is_told_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(4e9, 1e9, 2_000_000_500))
    with pytest.raises(RunFailed, match=r"disk has 2\.0 GB free"):
        store(tmp_path / "features").fill(states, bar)


def test_a_changing_number_of_layers_stops_the_run(tmp_path: Path) -> None:
    def changing(recording: Recording) -> torch.Tensor:
        return states(recording)[: 1 if recording.seconds > 100 else 2]

    with pytest.raises(RunFailed, match=r"gave \[1, 2\] hidden states"):
        store(tmp_path / "features").fill(changing, bar)


def test_features_of_other_code_or_of_an_earlier_version_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    LayerStore(folder, "other", {"documents": recordings()}, "float32").fill(states, bar)
    (folder / "documents-0000").mkdir()
    (folder / "documents-0000" / "layer-00.npy").write_bytes(b"as it was stored before")
    opened = store(folder)
    assert not list(folder.iterdir())
    opened.fill(states, bar)
    kept = sorted(folder.rglob("*"))
    store(folder)
    assert sorted(folder.rglob("*")) == kept


def test_a_damaged_item_stops_the_search_and_is_computed_again(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    store(folder).fill(states, bar)
    opened = store(folder)
    chunk = opened.groups["documents"][1]
    (index,) = folder.rglob("*.index")
    places = dict(line.split(maxsplit=1) for line in index.read_text().splitlines())
    offset, size = map(int, places[opened.key("documents", chunk[0])].split())
    with index.with_suffix(".pack").open("r+b") as pack:
        pack.seek(offset + size - 1)
        pack.write(b"!")
    with pytest.raises(RunFailed, match=r"features of b in .* gone or damaged; start the same command again"):
        opened.read("documents", chunk, 1)
    computed: list[str] = []

    def again(recording: Recording) -> torch.Tensor:
        computed.append(recording.name)
        return states(recording)

    opened.fill(again, bar)
    assert computed == ["b"]
    assert np.array_equal(
        np.concatenate(opened.read("documents", chunk, 1)), states(recordings()[1])[1].numpy()
    )
