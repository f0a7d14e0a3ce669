"""Boundaries and small worked cases of stored features: what changed code must not pass unnoticed."""

from __future__ import annotations

import shutil
import zlib
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.features import weighting
from downstream_runs.features.cache import FeatureCache
from downstream_runs.features.extractor import holds
from downstream_runs.features.options import StoredKind, choose, deviations, is_batch_free

CPU = torch.device("cpu")
KEYS = [f"{number:02d}" + 62 * "0" for number in range(6)]

# rounding


def layer(small: int, zeros: int = 0, values: int = 1000, size: float = 0.5) -> Tensor:
    """`[frame, feature]` with so many values far below fp16's normal range, and so many zeros."""
    made = torch.full((values,), size)
    made[:small] = 1e-6
    made[values - zeros :] = 0
    return made.view(-1, 10)


@pytest.mark.parametrize(
    ("layers", "fits"),
    [
        ([layer(10)], True),  # one in a hundred
        ([layer(11)], False),
        ([layer(0), layer(11)], False),
        ([layer(5, values=1000)] * 3, True),  # of each layer by itself, not of all together
        ([layer(0), layer(1, zeros=990)], False),  # one of ten that are not 0
        ([layer(0, zeros=999)], True),
        ([layer(0, size=2.0**-14)], True),  # the smallest normal number
        ([layer(0, size=65504.0)], True),  # the largest
    ],
)
def test_how_many_small_values_a_type_may_lose(layers: list[Tensor], fits: bool) -> None:
    assert holds(torch.stack(layers), torch.float16) == fits


def test_one_value_that_overflows_is_too_many_and_what_was_infinite_stays_so() -> None:
    frames = layer(0)[None].clone()
    frames[0, 0, 0] = 1e5
    assert not holds(frames, torch.float16) and holds(frames, torch.bfloat16)
    frames[0, 0, 0] = torch.inf
    assert holds(frames, torch.float16)
    assert holds(torch.full((1, 2, 2), 1e-40), torch.float32), "its own type"


# weighting


def test_sums_are_made_where_the_frames_are() -> None:
    frames, weights = torch.ones(3, 4, 2, device="meta"), torch.ones(3, device="meta")
    assert weighting.sum_frames(weights, frames).device.type == "meta"


def test_weighted_sums_and_their_gradient_by_hand() -> None:
    weights = torch.tensor([0.25, 0.75], requires_grad=True)
    frames = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]).half()
    total = weighting.sum_frames(weights, frames)
    assert total.dtype == torch.float32 and total.tolist() == [[4.0, 5.0], [6.0, 7.0]]
    total.backward(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))  # type: ignore[no-untyped-call]
    assert torch.as_tensor(weights.grad).tolist() == [1.0 + 2 * 4.0, 5.0 + 2 * 8.0]
    means = torch.tensor([[[1.0, 2.0], [5.0, 6.0]]])
    assert weighting.sum_pooled(weights, means).tolist() == [[4.0, 5.0]]
    featurizer = SimpleNamespace(weights=torch.zeros(2))
    weighting.take_over(featurizer)
    assert [one.tolist() for one in featurizer.forward(means)] == [[[3.0, 4.0]]]
    assert [one.tolist() for one in featurizer.forward([frames])] == [[[3.0, 4.0], [5.0, 6.0]]]


# cache


def item(size: int = 6) -> dict[str, Tensor]:
    return {"frames": torch.arange(size, dtype=torch.float32).view(1, -1, 2)}  # 24 bytes


def stored_bytes(folder: Path) -> int:
    store = FeatureCache(folder / "one")
    store.put(KEYS[0], item())
    return store.total_bytes


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_items_fill_the_bound_exactly_and_a_full_store_stays_full(where: str, tmp_path: Path) -> None:
    size = stored_bytes(tmp_path) if where == "disk" else 24
    store = FeatureCache(tmp_path / "a" / "b" if where == "disk" else None, limit=2 * size)
    assert (store.full, store.total_bytes) == (False, 0)
    for number in (0, 1):
        store.put(KEYS[number], item())
        assert (store.total_bytes, store.written, store.full) == (size * (number + 1), number + 1, False)
    store.put(KEYS[2], item())
    assert store.full
    store.limit = 10_000
    store.put(KEYS[3], item(2))
    assert [store.get(key) is not None for key in KEYS[:4]] == [True, True, False, False]
    assert (store.total_bytes, store.written) == (2 * size, 2)


def test_what_other_processes_wrote_counts(tmp_path: Path) -> None:
    FeatureCache(tmp_path).put(KEYS[0], item())
    (file,) = tmp_path.rglob("*.pack")
    size = file.stat().st_size
    store = FeatureCache(tmp_path, limit=2 * size - 1)
    assert store.total_bytes == size
    store.put(KEYS[1], item())
    assert store.full and store.get(KEYS[1]) is None


@pytest.mark.parametrize(("more", "fits"), [(-1, False), (0, True)])
def test_two_gigabytes_stay_free(
    more: int, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 2_000_000_000 + stored_bytes(tmp_path) + more
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(free))
    store = FeatureCache(tmp_path)
    store.put(KEYS[0], item())
    assert (store.get(KEYS[0]) is not None, store.full) == (fits, not fits)


def test_an_item_in_a_file_has_the_checksum_of_its_bytes_by_name(tmp_path: Path) -> None:
    whole = {"sum": torch.tensor([1.0, 2.0]), "last": torch.tensor([3.0]), "count": torch.tensor(7)}
    FeatureCache(tmp_path).put(KEYS[0], whole)
    (file,) = tmp_path.rglob("*.pack")
    content = b"".join(whole[name].numpy().tobytes() for name in ("count", "last", "sum"))
    written = load(file.read_bytes())
    assert int(written.pop("crc32")) == zlib.crc32(content)
    assert FeatureCache(tmp_path).get(KEYS[0]) is not None
    bare = FeatureCache(tmp_path / "bare")
    assert bare._packs is not None
    bare.put(KEYS[1], item())
    bare._packs.append(KEYS[0], save(written))
    assert bare.get(KEYS[0]) is None, "an item without a checksum"


# options


def test_every_deviation_is_said_and_no_other() -> None:
    rounded, alone = StoredKind("disk", "frames", "bf16"), StoredKind("disk", "pooled")
    assert deviations(StoredKind("off", precision="bf16"), False) == deviations(alone, True) == ()
    (said,) = deviations(rounded, True)
    assert "rounded to bf16" in said and "stay in fp32" not in said
    (said,) = deviations(rounded, True, widened=True)
    assert "rounded to bf16" in said and "stay in fp32" in said
    (said,) = deviations(alone, False)
    assert "gets alone" in said and len(deviations(rounded, False)) == 2


@pytest.mark.parametrize(
    ("mode", "poolable", "batch_free", "utterances", "chosen"),
    [
        ("off", True, True, 1, StoredKind("off")),
        ("memory", True, False, 999, StoredKind("memory", "pooled", "fp32")),
        ("disk", False, False, 999, StoredKind("disk", "frames", "bf16")),
        ("auto", True, True, 999, StoredKind("disk", "pooled", "fp32")),
        ("auto", True, False, 1, StoredKind("off")),
        ("auto", False, True, 500, StoredKind("memory", "frames", "fp32")),
        ("auto", False, True, 501, StoredKind("off")),
        ("auto", False, False, 1, StoredKind("off")),
    ],
)
def test_what_is_stored(
    mode: Any, poolable: bool, batch_free: bool, utterances: int, chosen: StoredKind
) -> None:
    assert choose(FeatureOptions(mode, "bf16"), poolable, batch_free, utterances) == chosen


def test_an_upstream_says_whether_it_depends_on_the_batch() -> None:
    for switches, exact in (({"batching": "exact"}, True), ({"batching": "released"}, False), (None, False)):
        assert is_batch_free(SimpleNamespace(switches=switches)) == exact
    assert not is_batch_free(object())


def test_where_the_items_of_an_upstream_are_and_how_many_bytes(tmp_path: Path) -> None:
    identity, kinds = (
        "0123456789abcdef" * 4,
        [StoredKind("disk", "pooled"), StoredKind("disk", "frames", "fp16")],
    )
    pooled, frames = (FeatureCache.of_upstream(tmp_path, identity, kind, 7) for kind in kinds)
    assert pooled.folder == tmp_path / "0123456789abcdef" / "pooled-fp32"
    assert frames.folder == tmp_path / "0123456789abcdef" / "frames-fp16"
    assert pooled.limit == frames.limit == 7
    memory = FeatureCache.of_upstream(tmp_path, identity, StoredKind("memory"), None)
    assert (memory.folder, memory.limit) == (None, 4_000_000_000)
    caches = [pooled, frames, memory, FeatureCache.of_upstream(tmp_path, "f" * 64, kinds[0])]
    keys = {cache.key(content, how) for cache in caches for content in (b"a", b"b") for how in ("", "x")}
    assert len(keys) == 16
    again = FeatureCache.of_upstream(tmp_path, identity, kinds[0])
    assert again.key(b"a") == pooled.key(b"a") and again.limit is None


def test_a_layer_of_frames_alone(tmp_path: Path) -> None:
    layers = {"frames": torch.arange(12.0).view(3, 2, 2)}
    for cache in (FeatureCache(None), FeatureCache(tmp_path)):
        cache.put(KEYS[0], layers)
        for _ in range(2):
            found = cache.get(KEYS[0], layer=1)
            assert found is not None and torch.equal(found["frames"], layers["frames"][1])
    assert cache.get(KEYS[1], layer=0) is None and (cache.hits, cache.misses) == (2, 1)
    (file,) = tmp_path.glob("*.pack")
    content = bytearray(file.read_bytes())
    content[-1] ^= 4
    file.write_bytes(content)
    assert FeatureCache(tmp_path).get(KEYS[0], layer=0) is None, "of an item whose bytes are others"


def test_the_journals_account_of_a_cache(tmp_path: Path) -> None:
    size = stored_bytes(tmp_path)
    cache = FeatureCache(tmp_path, limit=size)
    for key in KEYS[:2]:
        cache.put(key, item())
        cache.get(key)
    told = {"folder": str(tmp_path), "used_again": 1, "computed": 1, "stored": 1, "bytes": size}
    assert cache.account() == told | {"in_memory": 0, "full": True}
    memory = FeatureCache(None)
    memory.put(KEYS[0], item())
    assert (memory.account()["folder"], memory.account()["in_memory"]) == (None, 24)
