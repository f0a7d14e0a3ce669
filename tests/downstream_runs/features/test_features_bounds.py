"""Boundaries and small worked cases of stored features: what changed code must not pass unnoticed."""

from __future__ import annotations

import os
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
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from downstream_runs.errors import UsageError
from downstream_runs.features import rounding, settings, weighting
from downstream_runs.features.remembered import Job, Memory, Reader, StoredWave, digest
from downstream_runs.features.settings import Choice, Settings, choose, deviations, rounded
from downstream_runs.features.source import Source
from downstream_runs.features.store import Store

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
    assert rounding.holds(torch.stack(layers), torch.float16) == fits


def test_one_value_that_overflows_is_too_many_and_what_was_infinite_stays_so() -> None:
    frames = layer(0)[None].clone()
    frames[0, 0, 0] = 1e5
    assert not rounding.holds(frames, torch.float16) and rounding.holds(frames, torch.bfloat16)
    frames[0, 0, 0] = torch.inf
    assert rounding.holds(frames, torch.float16)
    assert rounding.holds(torch.full((1, 2, 2), 1e-40), torch.float32), "its own type"


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


# store


def item(size: int = 6) -> dict[str, Tensor]:
    return {"frames": torch.arange(size, dtype=torch.float32).view(1, -1, 2)}  # 24 bytes


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_items_fill_the_bound_exactly_and_a_full_store_stays_full(where: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "b" if where == "disk" else None, limit=48)
    assert (store.held, store.full, store.bytes) == (0, False, 0)
    for number in (0, 1):
        store.put(KEYS[number], item())
        assert (store.bytes, store.written, store.full) == (24 * (number + 1), number + 1, False)
    store.put(KEYS[2], item())
    assert store.full
    store.limit = 1000
    store.put(KEYS[3], item(2))
    assert [store.get(key) is not None for key in KEYS[:4]] == [True, True, False, False]
    assert (store.bytes, store.written) == (48, 2)


def test_what_other_processes_wrote_counts(tmp_path: Path) -> None:
    Store(tmp_path).put(KEYS[0], item())
    (file,) = tmp_path.rglob("*.safetensors")
    assert file == tmp_path / "00" / f"{KEYS[0]}.safetensors"
    size = file.stat().st_size
    store = Store(tmp_path, limit=size + 23)
    assert store.bytes == size
    store.put(KEYS[1], item())
    assert store.full and store.get(KEYS[1]) is None


@pytest.mark.parametrize(("free", "fits"), [(2_000_000_024, False), (2_000_000_025, True)])
def test_two_gigabytes_stay_free(
    free: int, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(free))
    store = Store(tmp_path)
    store.put(KEYS[0], item())
    assert (store.get(KEYS[0]) is not None, store.full) == (fits, not fits)


def test_the_first_items_are_held_in_memory_up_to_their_bound(tmp_path: Path) -> None:
    for key in KEYS[:2]:
        Store(tmp_path).put(key, item())
    reading, writing = Store(tmp_path, held=24), Store(tmp_path / "new", held=24)
    assert reading.get(KEYS[5]) is None
    for key in KEYS[:2]:
        assert reading.get(key) is not None
        writing.put(key, item())
    for file in tmp_path.rglob("*.safetensors"):
        file.unlink()
    for store in (reading, writing):
        assert [store.get(key) is not None for key in KEYS[:2]] == [True, False]


def test_an_item_in_a_file_has_the_checksum_of_its_bytes_by_name(tmp_path: Path) -> None:
    whole = {"sum": torch.tensor([1.0, 2.0]), "last": torch.tensor([3.0]), "count": torch.tensor(7)}
    Store(tmp_path).put(KEYS[0], whole)
    (file,) = tmp_path.rglob("*.safetensors")
    content = b"".join(whole[name].numpy().tobytes() for name in ("count", "last", "sum"))
    written = load_file(file)
    assert int(written.pop("crc32")) == zlib.crc32(content)
    assert Store(tmp_path).get(KEYS[0]) is not None
    save_file(written, file)
    assert Store(tmp_path).get(KEYS[0]) is None, "a file without a checksum"


# settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mode": "disk", "crops": 0}, "--features-crops is 0, expected at least 1"),
        ({"mode": "auto", "crops": 1}, "--features-crops is for stored features"),
        ({"mode": "off", "compiled": True}, "--features-compile is for stored features"),
        ({"mode": "disk", "precision": "fp8"}, "--features-precision 'fp8' is unknown"),
    ],
)
def test_settings_that_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Settings(**given)


def test_every_deviation_is_said_and_no_other() -> None:
    assert Settings("memory", crops=1).crops == 1 and not Settings().compiled
    plain = Choice("disk", "frames", "fp32")
    assert plain == Choice("disk") and not plain.compiled
    whole = choose(Settings("disk", "bf16", crops=3, autocast="fp16", compiled=True), False, True, 9)
    assert whole == Choice("disk", "frames", "bf16", 3, "fp16", True)
    alone = {
        "rounded to bf16": Choice("disk", precision="bf16"),
        "autocast to fp16": Choice("disk", autocast="fp16"),
        "is compiled": Choice("disk", compiled=True),
        "has 3 crops that come in turn": Choice("disk", crops=3),
    }
    for part, choice in alone.items():
        (said,) = deviations(choice, batch_free=True)
        assert part in said and sum(part in one for one in deviations(whole, False)) == 1
    assert len(deviations(whole, False)) == 5 and "gets alone" in deviations(whole, False)[-1]
    assert deviations(plain, True) == deviations(Choice("off", precision="fp16"), False) == ()
    assert "stay in fp32" not in rounded(whole) and "stay in fp32" in rounded(whole, widened=True)


def test_a_quarter_of_the_memory_holds_items_up_to_four_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    for pages, held in ((1_000_000, 1_024_000_000), (100_000_000, 4_000_000_000)):
        sizes = {"SC_PHYS_PAGES": pages, "SC_PAGE_SIZE": 4096}
        monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
        assert settings.held_bytes() == held


def test_an_upstream_is_known_by_all_that_decides_its_features() -> None:
    first = settings.identity("student", ["a", None], "w", {"batching": "exact", "dtype": "fp32"}, "c")
    turned = settings.identity("student", ["a", None], "w", {"dtype": "fp32", "batching": "exact"}, "c")
    assert first == turned and len(first) == 64
    others = [
        settings.identity("fbank", ["a", None], "w", {"batching": "exact", "dtype": "fp32"}, "c"),
        settings.identity("student", [None, "a"], "w", {"batching": "exact", "dtype": "fp32"}, "c"),
        settings.identity("student", ["a", None], "v", {"batching": "exact", "dtype": "fp32"}, "c"),
        settings.identity("student", ["a", None], "w", {"batching": "exact", "dtype": "fp16"}, "c"),
        settings.identity("student", ["a", None], "w", {"batching": "exact", "dtype": "fp32"}, "d"),
    ]
    assert len({first, *others}) == 6
    assert settings.folder(Path("x"), first) == Path("x") / "features" / first[:16]
    for switches, exact in (({"batching": "exact"}, True), ({"batching": "released"}, False), (None, False)):
        assert settings.is_batch_free(SimpleNamespace(switches=switches)) == exact
    assert not settings.is_batch_free(object())


# source


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


FIRST = SimpleNamespace(weights=torch.tensor([1.0, -torch.inf]))  # the first layer alone
weighting.take_over(FIRST)


def featurizer(stored: Any) -> list[Tensor]:
    return FIRST.forward(stored)  # type: ignore[no-any-return]


def wave(samples: int, start: float = 1.0) -> Tensor:
    return torch.arange(samples, dtype=torch.float32) / 100 + start


def source(upstream: nn.Module, seldom: bool = False, **chosen: Any) -> Source:
    given = {"mode": "memory", "kind": "frames", "precision": "fp32"} | chosen
    return Source(upstream, "someone", Choice(**given), Store(None), 10, seldom)


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


def test_pooled_means_of_the_batch_at_hand_are_not_looked_up_again() -> None:
    upstream = Plain()
    made = source(upstream, kind="pooled")
    one, other = [wave(50), wave(40)], [wave(50), wave(40, 9.0)]
    first = made.features(featurizer, one, CPU)
    again = made.features(featurizer, one, CPU)
    assert torch.equal(first[1], again[1]) and (made.store.hits, made.store.misses) == (0, 2)
    assert not torch.equal(made.features(featurizer, other, CPU)[1], first[1])
    assert (made.store.hits, made.store.misses, upstream.calls) == (1, 3, 3)


def test_a_waveform_in_store_is_read_only_where_its_features_are_not() -> None:
    given, reads = wave(50), []

    def read() -> Tensor:
        reads.append(1)
        return given

    made = source(Plain(), seldom=True)
    with_audio, bare = (StoredWave(digest(given), 50, read, one) for one in (given, None))
    expected = given.view(-1, 10)
    assert torch.equal(made.features(featurizer, [with_audio], CPU)[0], expected)
    assert reads == [] and made.store.written == 1, "what is remembered comes again"
    assert torch.equal(made.features(featurizer, [bare], CPU)[0], expected) and reads == []
    fresh = source(Plain(), seldom=True)
    assert torch.equal(fresh.features(featurizer, [bare], CPU)[0], expected) and reads == [1]


def test_a_crop_is_stored_when_it_comes_a_second_time() -> None:
    made = source(Plain(), seldom=True)
    written = []
    for _ in range(3):
        made.features(featurizer, [wave(50)], CPU)
        written.append((made.store.written, made.store.hits))
    assert written == [(0, 0), (1, 0), (1, 1)]


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
        assert made.store.written == 1


def test_widened_frames_are_counted_and_told_once() -> None:
    told: list[int] = []
    batch = [1e6 * wave(50), 1e6 * wave(40), wave(50)]
    for tell in (None, lambda: told.append(1)):
        made = source(Plain(), precision="fp16")
        made.on_widened = tell
        for _ in range(2):
            made.features(featurizer, batch, CPU)
        assert made.widened == 4 and made.store.hits == 3
        assert [made._item(one, CPU)["frames"].element_size() for one in batch] == [4, 4, 2]
    assert told == [1]
    pooled = source(Plain(), kind="pooled", precision="fp16")
    pooled.features(featurizer, batch, CPU)
    assert pooled.widened == 0


def test_the_upstream_runs_under_the_autocast_that_is_chosen_or_else_the_steps() -> None:
    for chosen, step, expected in (
        (None, False, (False, torch.bfloat16)),
        (None, True, (True, torch.bfloat16)),
        ("fp16", False, (True, torch.float16)),
    ):
        upstream = Plain()
        with torch.autocast("cpu", torch.bfloat16, enabled=step):
            source(upstream, autocast=chosen).compute(wave(50), CPU)
        assert upstream.autocast == expected


def test_only_what_is_chosen_is_compiled_and_for_all_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def compiled(upstream: nn.Module, **options: Any) -> nn.Module:
        asked.append(options)
        return upstream

    monkeypatch.setattr(torch, "compile", compiled)
    source(Plain())
    assert asked == []
    source(Plain(), compiled=True)
    assert asked == [{"dynamic": True}]


def test_items_are_found_under_all_that_they_were_computed_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda upstream, **options: upstream)
    chosen: list[dict[str, Any]] = [{}, {"kind": "pooled"}, {"precision": "fp16"}, {"compiled": True}]
    chosen += [{"autocast": "fp16"}, {"autocast": "bf16"}]
    keys = [source(Plain(), **one)._key(b"sha", "cpu") for one in chosen]
    keys.append(source(Plain())._key(b"other", "cpu"))
    with torch.autocast("cpu", torch.bfloat16):
        keys.append(source(Plain())._key(b"sha", "cpu"))
        assert source(Plain(), autocast="bf16")._key(b"sha", "cpu") == keys[5]
    assert keys[-1] == keys[5] and len(set(keys[:-1])) == len(keys) - 1


def test_why_an_upstream_cannot_be_compiled_is_said_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import TorchDynamoException

    def broken(wavs: list[Tensor]) -> None:
        raise TorchDynamoException("y" * 500)

    monkeypatch.setattr(torch, "compile", lambda upstream, **options: broken)
    with pytest.raises(UsageError, match=r"here \(y{200}\); leave"):
        source(Plain(), compiled=True).features(featurizer, [wave(50)], CPU)


# remembered


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
    reader = Reader(drawn, list)
    assert [read.drew for read in reader[Job((0, 1, 0))]] == [False, True, False]


def test_seeds_of_a_job() -> None:
    drawn = type("Drawn", (), {"__getitem__": lambda self, index: random.random()})()
    reader = Reader(drawn, list)

    def read(seed: int | None, seeds: tuple[int, ...] | None) -> list[float]:
        return [one.content for one in reader[Job((0, 1), seed, seeds)]]

    random.seed(7)
    whole = [random.random(), random.random()]
    first = [random.Random(seed).random() for seed in (8, 9)]
    random.seed(0)
    before = random.getstate()
    assert read(7, None) == whole and read(None, (8, 9)) == read(7, (8, 9)) == first
    assert random.getstate() == before
    assert read(None, None) != read(None, None) and random.getstate() != before


def test_a_batch_of_one_index_is_what_collating_makes_of_it() -> None:
    reader = Reader({5: ("wave", "label")}, lambda items: zip(*items, strict=True))
    assert reader.content(5) == ("wave", "label") and reader.content((5,)) == (("wave",), ("label",))
    assert Reader({5: 1}, list).content((5,)) == [1]


@pytest.mark.parametrize("first", [["ab", "cd"], "ab", np.ones((2, 2)), np.ones(1), [], [np.ones(2), "ab"]])
def test_content_that_is_no_audio_is_handed_back(first: Any) -> None:
    memory = Memory()
    content = (first, 3)
    assert memory.keep(0, content, lambda: content) is content and 0 not in memory


def test_audio_of_one_and_of_several_is_remembered_and_read_again() -> None:
    one, other = np.ones(2, dtype=np.float32), torch.arange(3.0)
    memory = Memory()
    single, several = ((one, "a"), ([one, other], "b"))
    given = memory.keep("s", single, lambda: single)
    assert given[0].wave is one and given[1] == "a" and "s" in memory
    assert memory["s"][0].read() is one and memory["s"][0].wave is None
    given = memory.keep("m", several, lambda: several)
    for fresh, kept, wave in zip(given[0], memory["m"][0], several[0], strict=True):
        assert fresh.wave is wave and kept.wave is None and kept.read() is wave
    assert [len(stored) for stored in memory["m"][0]] == [2, 3]
    assert digest(np.ones(2)) == digest(one) == digest(torch.ones(2, requires_grad=True))
