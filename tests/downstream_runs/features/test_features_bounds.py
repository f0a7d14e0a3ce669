"""Boundaries and small worked cases of stored features: what changed code must not pass unnoticed."""

from __future__ import annotations

import functools
import random
import shutil
import zlib
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from s3prl.upstream.interfaces import Featurizer
from safetensors.torch import load, save
from torch import Tensor, nn

from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.features import weighting
from downstream_runs.features.cache import FeatureCache
from downstream_runs.features.extractor import FeatureExtractor, Need, holds
from downstream_runs.features.items import CachedWaveform, ItemCache, ItemReader, digest
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


# extractor


class Plain(nn.Module):
    """One layer that is the waveform in frames of 10 samples, `short` fewer than there are."""

    def __init__(self, batching: str = "exact", short: int = 0, several: bool = False) -> None:
        super().__init__()
        self.switches, self.short, self.several = {"batching": batching}, short, several
        self.calls, self.autocast = 0, (False, torch.float32)

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        self.calls += 1
        self.autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
        (wave,) = wavs
        assert wave.dtype == torch.float32
        frames = wave[: len(wave) // 10 * 10].view(1, -1, 10)[:, : len(wave) // 10 - self.short]
        states = [frames, 2 * frames]
        return {"hidden_states": dict(enumerate(states)) if self.several else states}


FIRST = SimpleNamespace(  # of two layers the first alone
    weights=torch.tensor([1.0, -torch.inf]),
    downsample_rate=10,
    feature_selection="hidden_states",
    layer_selection=None,
)
FIRST._select_feature = functools.partial(Featurizer._select_feature, FIRST)
weighting.take_over(FIRST)


def featurizer(stored: Any) -> list[Tensor]:
    return FIRST.forward(stored)  # type: ignore[no-any-return]


def wave(samples: int, start: float = 1.0) -> Tensor:
    return torch.arange(samples, dtype=torch.float32) / 100 + start


def source(upstream: nn.Module, crops: bool = False, **chosen: Any) -> FeatureExtractor:
    return FeatureExtractor(
        upstream, StoredKind("memory", **chosen), FeatureCache(None, "someone"), FIRST, crops
    )


def test_where_not_all_has_room_what_is_met_most_often_is_stored() -> None:
    stored = source(Plain(), precision="fp32")
    size = 2 * 40 * 4  # two layers
    stored.cache.limit = 3 * size
    stored.needs = [Need("dev", 2, 60.0, 2 * size), Need("train", 5, 17.0, 5 * size)]

    def meet(split: str, numbers: range) -> None:
        for number in numbers:
            known = stored.items(split).keep_file(
                f"{number}", wave(40, number + len(split)), lambda name: None
            )
            stored.features(featurizer, [known], CPU)

    meet("train", range(3))
    assert stored.cache.written == 1 and not stored.cache.full, "the rest is left to dev"
    meet("dev", range(2))
    assert stored.cache.written == 3 and not stored.cache.full
    meet("train", range(3, 5))
    assert stored.cache.written == 3 and stored.cache.full


@pytest.mark.parametrize("kind", ["frames", "pooled"])
@pytest.mark.parametrize("batching", ["exact", "released"])
@pytest.mark.parametrize("short", [1, 3])
def test_frames_that_an_upstream_lacks_are_its_last_one_where_the_batch_has_them(
    kind: str, batching: str, short: int
) -> None:
    # Each has fewer frames than the featurizer wants; of a batch the longest one's are there.
    long, brief = wave(100), wave(60, 3.0)
    made = source(Plain(batching, short=short), kind=kind)
    whole = {name: one.view(-1, 10)[:-short] for name, one in (("long", long), ("brief", brief))}
    repeated = short if batching == "exact" else 0
    wanted = [whole["long"], torch.cat([whole["brief"], whole["brief"][-1:].expand(repeated, -1)])]
    if kind == "pooled":
        wanted = [one.mean(dim=0, keepdim=True) for one in wanted]
    for found, expected in zip(made.features(featurizer, [long, brief], CPU), wanted, strict=True):
        torch.testing.assert_close(found, expected)


def test_a_waveform_in_store_is_read_only_where_its_features_are_not() -> None:
    given, reads = wave(50), []

    def read() -> Tensor:
        reads.append(1)
        return given

    made = source(Plain(), crops=True)
    with_audio, bare = (CachedWaveform(digest(given), 50, read, one) for one in (given, None))
    expected = given.view(-1, 10)
    assert torch.equal(made.features(featurizer, [with_audio], CPU)[0], expected)
    assert reads == [] and made.cache.written == 1, "what is remembered comes again"
    assert torch.equal(made.features(featurizer, [bare], CPU)[0], expected) and reads == []
    fresh = source(Plain(), crops=True)
    assert torch.equal(fresh.features(featurizer, [bare], CPU)[0], expected) and reads == [1]


def test_crops_are_never_stored_and_leave_nothing_behind() -> None:
    made = source(Plain(), crops=True)
    for _ in range(3):
        made.features(featurizer, [wave(50)], CPU)
    assert (made.cache.written, made.cache.hits, made.cache.misses) == (0, 0, 3)


def test_layers_may_be_a_dictionary_and_samples_of_any_type() -> None:
    samples = np.linspace(-1, 1, 50)
    expected = torch.as_tensor(samples, dtype=torch.float32).view(-1, 10)
    for upstream in (Plain(), Plain(several=True)):
        assert torch.equal(
            source(upstream).compute(samples, CPU)["frames"], torch.stack([expected, 2 * expected])
        )


def test_one_value_that_is_not_finite_keeps_an_item_out() -> None:
    broken = wave(50)
    broken[7] = torch.nan
    for kind in ("frames", "pooled"):
        made = source(Plain(), kind=kind)
        made.features(featurizer, [broken, wave(50)], CPU)
        assert made.cache.written == 1


def test_widened_frames_are_counted_and_told_once() -> None:
    told: list[int] = []
    batch = [1e6 * wave(50), 1e6 * wave(40), wave(50)]
    for heard in (False, True):
        made = source(Plain(), precision="fp16")
        made.on_widened = functools.partial(lambda made: told.append(made.widened), made) if heard else None
        for _ in range(2):
            made.features(featurizer, batch, CPU)
        assert made.widened == 4 and made.cache.hits == 3
        assert [made.item(one, CPU)["frames"].element_size() for one in batch] == [4, 4, 2]
    assert told == [1]
    pooled = source(Plain(), kind="pooled", precision="fp16")
    pooled.features(featurizer, batch, CPU)
    assert pooled.widened == 0


def test_features_under_autocast_are_others() -> None:
    upstream = Plain()
    made = source(upstream)
    under = []
    for enabled, dtype in ((False, torch.bfloat16), (True, torch.bfloat16), (True, torch.float16)) * 2:
        with torch.autocast("cpu", dtype, enabled=enabled):
            made.item(wave(50), CPU)
        under.append(upstream.autocast)
    assert (made.cache.hits, made.cache.misses, upstream.calls) == (3, 3, 3)
    assert under[:3] == [(False, torch.bfloat16), (True, torch.bfloat16), (True, torch.float16)]


# items


@pytest.mark.parametrize(
    "draw",
    [
        random.random,
        np.random.rand,
        np.random.randn,  # of two at once, the second is kept
        lambda: np.random.bytes(4 * 624),  # once round numpy's generator: its place is the same again
        lambda: torch.rand(1),
    ],
)
def test_reading_that_drew_is_noticed_whichever_generator_it_was(draw: Callable[[], object]) -> None:
    np.random.seed(3)
    np.random.rand(5)
    drawn = type("Drawn", (), {"__getitem__": lambda self, index: draw() if index else "plain"})()
    reader = ItemReader(drawn)
    assert [drew for _, drew in reader((None, (0, 1, 0)))] == [False, True, False]


def test_seeds_of_a_job() -> None:
    drawn = type("Drawn", (), {"__getitem__": lambda self, index: random.random()})()
    reader = ItemReader(drawn)

    def read(seed: int | None) -> list[float]:
        return [content for content, _ in reader((seed, (0, 1)))]

    random.seed(7)
    whole = [random.random(), random.random()]
    random.seed(0)
    before = random.getstate()
    assert read(7) == read(7) == whole and random.getstate() == before
    assert read(None) != read(None) and random.getstate() != before


@pytest.mark.parametrize("first", [["ab", "cd"], "ab", np.ones((2, 2)), np.ones(1), [], [np.ones(2), "ab"]])
def test_content_that_is_no_audio_is_handed_back(first: Any) -> None:
    memory = ItemCache()
    content = (first, 3)
    assert memory.keep(0, content, lambda: content) is content and 0 not in memory


def test_audio_of_one_and_of_several_is_remembered_and_read_again() -> None:
    one, other = np.ones(2, dtype=np.float32), torch.arange(3.0)
    memory = ItemCache()
    single, several = ((one, "a"), ([one, other], "b"))
    given = memory.keep("s", single, lambda: single)
    assert given[0].wave is one and given[1] == "a" and "s" in memory
    assert memory["s"][0].read() is one and memory["s"][0].wave is None
    given = memory.keep("m", several, lambda: several)
    for fresh, kept, wave in zip(given[0], memory["m"][0], several[0], strict=True):
        assert fresh.wave is wave and kept.wave is None and kept.read() is wave
    assert [len(stored) for stored in memory["m"][0]] == [2, 3]
    assert digest(np.ones(2)) == digest(one) == digest(torch.ones(2, requires_grad=True))
