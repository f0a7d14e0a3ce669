"""Utterances encoded together: the features of each alone to rounding, in lots that follow from the list."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import small_student
import torch
from s3prl.upstream.interfaces import Featurizer
from torch import Tensor

from downstream_runs.features import batched, weighting
from downstream_runs.features.cache import FeatureCache
from downstream_runs.features.claims import Claims
from downstream_runs.features.extractor import FeatureExtractor
from downstream_runs.features.items import CachedWaveform, digest
from downstream_runs.features.options import StoredKind

CPU = torch.device("cpu")
LENGTHS = [400, 16_000, 9_000, 16_000, 12_345, 719, 15_999]


def waves() -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(samples) / 10 for samples in LENGTHS]


def known(wavs: list[Tensor]) -> list[CachedWaveform]:
    return [CachedWaveform(digest(wav), len(wav), lambda wav=wav: wav, split="train") for wav in wavs]  # type: ignore[misc]


class Padding(torch.nn.Module):
    """The small student, which pads a batch as it does on a device; what it was given is noted."""

    def __init__(self, counts: bool = True, most: int = 10**9) -> None:
        super().__init__()
        inner = small_student.build()
        self.inner, self.most, self.given = inner, most, list[list[int]]()
        inner.student.explicit = True
        if counts:
            self.student = inner.student
        self.switches = inner.switches
        self.get_downsample_rates = inner.get_downsample_rates

    def forward(self, wavs: list[Tensor]) -> Any:
        self.given.append([len(wav) for wav in wavs])
        if sum(self.given[-1]) > self.most:
            raise torch.OutOfMemoryError("too little memory")
        return self.inner(wavs)


def extractor(
    upstream: Any, kind: str, together: bool, folder: Path | None = None, precision: Any = "fp32"
) -> FeatureExtractor:
    made = Featurizer(upstream, upstream_device="cpu")
    stored = StoredKind("disk", kind, precision)  # type: ignore[arg-type]
    cache = FeatureCache(folder, f"someone {stored}")
    source = FeatureExtractor(upstream, stored, cache, made, crops=True, together=together)
    weighting.take_over(made)
    source.made = made  # type: ignore[attr-defined]
    return source


def features(source: FeatureExtractor, wavs: Any) -> list[Tensor]:
    with torch.no_grad():
        return source.features(source.made, wavs, CPU)  # type: ignore[attr-defined]


def close(found: list[Tensor], expected: list[Tensor], within: float = batched.TOLERANCE) -> None:
    assert [one.shape for one in found] == [one.shape for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= within * other.abs().max()


@pytest.mark.parametrize("counts", [True, False], ids=["ragged", "alike"])
@pytest.mark.parametrize(("kind", "precision"), [("pooled", "fp32"), ("frames", "fp32"), ("frames", "fp16")])
def test_together_as_alone(kind: str, precision: str, counts: bool, tmp_path: Path) -> None:
    alone = extractor(Padding(), kind, together=False, precision=precision)
    expected = features(alone, waves())
    upstream = Padding(counts)
    crops = extractor(upstream, kind, together=True, precision=precision)
    upstream.given.clear()
    within = batched.TOLERANCE if precision == "fp32" else 2**-10  # the next number of fp16
    close(features(crops, waves()), expected, within)
    assert len(upstream.given) == (1 if counts else len(set(LENGTHS)))
    assert (crops.cache.written, crops.cache.misses) == (0, len(LENGTHS)), "crops are not stored"
    stored = extractor(upstream, kind, together=True, folder=tmp_path, precision=precision)
    stored.store(known(waves()), CPU, lambda put: put())
    upstream.given.clear()
    half = [*known(waves())[:3], *waves()[3:]]
    close(features(stored, half), expected, within)
    assert (stored.cache.written, stored.cache.hits) == (len(LENGTHS), 3)
    assert sum(map(len, upstream.given)) == len(LENGTHS) - 3


def test_frames_that_a_type_does_not_hold_stay_in_fp32_beside_others() -> None:
    source = extractor(Padding(), "frames", together=True, precision="fp16")
    assert source.encoder is not None
    inner = source.encoder._select
    source.encoder._select = lambda output: [
        torch.cat([1e6 * one[:2], one[2:]]) for one in inner(output)
    ]  # of the two longest
    source.store(known(waves()), CPU, lambda put: put())
    widths = {len(wav): source.item(wav, CPU)["frames"].element_size() for wav in known(waves())}
    assert widths == {length: 4 if length == 16_000 else 2 for length in LENGTHS}
    assert source.widened == 2


@pytest.mark.parametrize("gone", [[], [1], [0, 3, 6], range(7)])
def test_what_is_stored_does_not_depend_on_what_a_kill_left(gone: Any, tmp_path: Path) -> None:
    """All bits are those of the undisturbed run, whatever of it was lost."""
    whole = extractor(Padding(), "pooled", together=True)
    whole.store(known(waves()), CPU, lambda put: put())
    rest = extractor(Padding(), "pooled", together=True)
    for place, wav in enumerate(known(waves())):
        if place not in gone:
            key = str(whole._key(wav, CPU))
            rest.cache.put(key, whole.cache.get(key) or {})
    rest.store(known(waves()), CPU, lambda put: put())
    assert rest.cache.written == len(LENGTHS)
    for wav in known(waves()):
        one, other = whole.item(wav, CPU), rest.item(wav, CPU)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_lots_are_halved_where_memory_is_too_little_and_stay_so() -> None:
    expected = features(extractor(Padding(), "pooled", together=False), waves())
    upstream = Padding(most=40_000)
    source = extractor(upstream, "pooled", together=True)
    assert source.encoder is not None
    told: list[int] = []
    source.encoder.on_halved = told.append
    upstream.given.clear()
    close(features(source, waves()), expected)
    assert told == [56_000, 24_000] and source.encoder.limit == 24_000
    assert [sum(lot) > 40_000 for lot in upstream.given[:3]] == [True, True, False]
    upstream.given.clear()
    features(source, waves())
    assert all(sum(lot) <= 40_000 for lot in upstream.given), "remembered"
    upstream.most = 300
    with pytest.raises(torch.OutOfMemoryError):
        features(source, waves())


def test_lots_are_of_like_lengths_within_the_limit() -> None:
    source = extractor(Padding(), "pooled", together=True)
    assert source.encoder is not None
    assert source.encoder.lots(LENGTHS) == [[1, 3, 6, 4, 2, 5, 0]]
    source.encoder.limit = 40_000
    assert source.encoder.lots(LENGTHS) == [[1, 3], [6, 4], [2, 5, 0]]
    source.encoder._count = None
    assert source.encoder.lots(LENGTHS) == [[1, 3], [6], [4], [2], [5], [0]]
    assert source.encoder.lots([100_000, 1]) == [[0], [1]] and source.encoder.lots([]) == []


def test_what_has_no_room_is_encoded_together_and_not_stored() -> None:
    upstream = Padding()
    source = extractor(upstream, "pooled", together=True)
    source.cache.limit = 1
    source.store(known(waves())[:1], CPU, lambda put: put())
    assert source.cache.full
    upstream.given.clear()
    features(source, known(waves()))
    assert len(upstream.given) == 1 and source.cache.written == 0


def _hold(folder: Path, pipe: Any) -> None:
    with Claims(folder).held(b"abcdefgh", wait=False) as mine:
        pipe.send(mine)
        pipe.recv()


def test_a_part_that_another_process_encodes_is_left_to_it_until_it_ends(tmp_path: Path) -> None:
    context: Any = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=_hold, args=(tmp_path, theirs))
    process.start()
    assert pipe.recv()
    claims = Claims(tmp_path)
    with claims.held(b"abcdefgh", wait=False) as mine:
        assert not mine
    with claims.held(b"other", wait=False) as mine:
        assert mine
    process.kill()
    with claims.held(b"abcdefgh", wait=True) as mine:
        assert mine
    process.join()
    claims.close()
    with Claims(None).held(b"abcdefgh", wait=False) as mine:
        assert mine, "nobody shares a store in memory"


@pytest.mark.parametrize("together", [False, True])
def test_what_may_be_stored_is_encoded_in_whole_fp32(together: bool) -> None:
    """On a CUDA device; elsewhere the switch changes nothing."""

    class Noting(Padding):
        def forward(self, wavs: list[Tensor]) -> Any:
            seen.append(torch.backends.cudnn.allow_tf32)
            return super().forward(wavs)

    seen: list[bool] = []
    made = extractor(Noting(), "pooled", together)
    before, seen[:] = torch.backends.cudnn.allow_tf32, []
    made.compute(waves()[0], CPU)
    assert (seen, before, torch.backends.cudnn.allow_tf32) == ([False], True, True)
