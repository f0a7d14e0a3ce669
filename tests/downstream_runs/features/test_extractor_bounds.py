"""The extractor and what it is given at their boundaries: room, missing frames, crops, types, items."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from s3prl.upstream.interfaces import Featurizer
from torch import Tensor, nn

from downstream_runs.features import weighting
from downstream_runs.features.cache import FeatureCache
from downstream_runs.features.extractor import FeatureExtractor, Need
from downstream_runs.features.items import CachedWaveform, ItemCache, ItemReader, digest
from downstream_runs.features.options import StoredKind

CPU = torch.device("cpu")


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
