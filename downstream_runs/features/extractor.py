"""Features from the cache, computed by the upstream where the cache has none.

On a CPU every utterance's features are computed alone, so that they do not depend on which batch came first,
nor on what a killed run had stored; `batched` says what is encoded together on a device, and what remains of
that. An upstream whose features depend on the padding of their batch is always given one utterance, which
gives other numbers than stock s3prl's; the run states this as a deviation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from downstream_runs.core.feature_options import DTYPES
from downstream_runs.features.batched import Encoder, held
from downstream_runs.features.cache import FRAMES, FeatureCache, Item
from downstream_runs.features.items import CachedWaveform, ItemCache, digest
from downstream_runs.features.options import StoredKind, is_batch_free
from upstream_arm.common import devices

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Write = Callable[[Callable[[], object]], object]
"""Calls what it is given, at once or later."""


class Need(NamedTuple):
    """What the features of a split take: its utterances, and how often a run meets each; bytes."""

    split: str
    utterances: int
    times: float
    size: float


class FeatureExtractor:
    """Gives what s3prl's featurizer would of an upstream's hidden states.

    featurizer: s3prl's, which says what is taken of the upstream's output, and how many samples a frame has.
    crops: a waveform that is given itself is a random crop, which never comes again and is not stored.
    encoder: encodes several utterances together, where that is wanted: see `batched`.
    needs: where not all features have room, those of each split, the one that is met most often first.
    widened: how often frames were used in fp32 because the precision does not hold them; on_widened is called
    the first time.
    """

    def __init__(
        self,
        upstream: nn.Module,
        stored: StoredKind,
        cache: FeatureCache,
        featurizer: Any,
        crops: bool,
        together: bool = False,
    ) -> None:
        import torch

        self.upstream: Callable[..., Any] = upstream
        self.stored, self.cache, self.rate = stored, cache, featurizer.downsample_rate
        self._select: Callable[..., Any] = featurizer._select_feature
        self.encoder = Encoder(upstream, self._select, stored, self.wanted) if together else None
        self.batch_free = is_batch_free(upstream)
        self.needs: Sequence[Need] = ()
        self.widened = 0
        self.on_widened: Callable[[], None] | None = None
        self._dtype: torch.dtype = getattr(torch, DTYPES[stored.precision])
        self._crops = crops
        self._items: dict[str, ItemCache] = {}

    def items(self, split: str) -> ItemCache:
        """The items of a split whose audio need not be read again."""
        return self._items.setdefault(split, ItemCache(split))

    def features(self, featurizer: Any, wavs: Sequence[Any], device: torch.device) -> list[Tensor]:
        """The weighted sums over layers, `[frame, feature]` each, on `device`; one frame where pooled.

        featurizer: s3prl's, that `weighting.take_over` prepared. wavs: waveforms `[sample]`, or what stands
        for them. The frames are those that the featurizer leaves of a batch: its last frame is repeated where
        an upstream that does not depend on the batch does so.
        """
        items = self._of_step(wavs, device)
        if self.stored.kind == "pooled":
            means = self._means(wavs, items, device)
            pooled: list[Tensor] = featurizer(devices.to_device(means, device))
            return pooled
        found = [item[FRAMES] for item in items]
        kept = self._kept(wavs, [one.shape[1] for one in found])
        frames = [devices.to_device(one, device)[:, :count] for one, count in zip(found, kept, strict=True)]
        return [_lengthen(one, count) for one, count in zip(featurizer(frames), kept, strict=True)]

    def _of_step(self, wavs: Sequence[Any], device: torch.device) -> list[Item]:
        """The items of a step's waveforms; those that no store will have are encoded together."""
        if self.encoder is None:
            return [self.item(wav, device) for wav in wavs]
        keys = [self._key(wav, device) for wav in wavs]
        items: dict[int, Item] = {}
        for place, (wav, key) in enumerate(zip(wavs, keys, strict=True)):
            if key is None:
                self.cache.misses += 1
            elif not self.cache.full:
                items[place] = self.item(wav, device)
            elif (found := self.cache.get(key)) is not None:
                items[place] = self._said(found)
        new = [place for place in range(len(wavs)) if place not in items]
        for lot, made in self.encoder.items([audio_of(wavs[place]) for place in new], device, on_host=False):
            items |= {new[place]: self._said(item) for place, item in zip(lot, made, strict=True)}
        return [items[place] for place in range(len(wavs))]

    def _means(self, wavs: Sequence[Any], items: Sequence[Mapping[str, Tensor]], device: Any) -> Tensor:
        """Means over the frames that the featurizer would leave, `[batch, layer, feature]`.

        On the CPU if all items are there, else on the device.
        """
        import torch

        counts = [int(item["count"]) for item in items]
        kept = self._kept(wavs, counts)
        here = [place for place, item in enumerate(items) if item["sum"].device.type == "cpu"]
        if 0 < len(here) < len(items):
            # Those of the store in one copy, not two each.
            copied = devices.to_device(
                torch.stack([torch.stack([items[n]["sum"], items[n]["last"]]) for n in here]), device
            )
            items = list(items)
            for place, (total, last) in zip(here, copied, strict=True):
                items[place] = {"sum": total, "last": last}
        sums = torch.stack([item["sum"] for item in items])
        for number, (item, frames, count) in enumerate(zip(items, kept, counts, strict=True)):
            if frames > count:
                sums[number].add_(item["last"], alpha=frames - count)
        sizes = torch.tensor(kept, dtype=sums.dtype)[:, None, None]
        return sums.div_(devices.to_device(sizes, sums.device))

    def _kept(self, wavs: Sequence[Any], counts: Sequence[int]) -> list[int]:
        """The frames that each utterance keeps in a batch of utterances of so many frames."""
        longest = max(counts)
        return [
            min(self.wanted(len(wav)), longest if self.batch_free else count)
            for wav, count in zip(wavs, counts, strict=True)
        ]

    def wanted(self, samples: int) -> int:
        """The frames that s3prl's featurizer keeps of an utterance (s3prl/upstream/interfaces.py, tolist)."""
        return round(samples / self.rate)

    def _key(self, wav: Any, device: torch.device) -> str | None:
        """The key of a waveform in the cache; None of a random crop."""
        import torch

        known = wav if isinstance(wav, CachedWaveform) else None
        if known is None and self._crops:
            return None
        sha256 = digest(wav) if known is None else known.sha256
        # Under autocast (`--precision`) the features are others, which have keys of their own.
        enabled, dtype = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)
        return self.cache.key(sha256, f" {enabled} {dtype} ")

    def item(self, wav: Any, device: torch.device) -> Item:
        """The item of a waveform `[sample]`, or of what stands for it: from the cache, or encoded alone."""
        key = self._key(wav, device)
        if key is None:
            self.cache.misses += 1
            return self._said(self.compute(wav, device))
        item = self.cache.get(key)
        if item is None:
            item = self.compute(audio_of(wav), device)
            if not self._put(key, item, wav):
                return item
        return self._said(item)

    def store(self, wavs: Sequence[CachedWaveform], device: torch.device, write: Write) -> None:
        """Encode and keep what the cache does not have of some utterances of a corpus.

        Where utterances are encoded together, they are in the same lots whatever of them is missing. write:
        calls what it is given, at once or later.
        """
        keys = [str(self._key(wav, device)) for wav in wavs]
        lots = [[place] for place in range(len(wavs))]
        if self.encoder is not None:
            lots = self.encoder.lots([len(wav) for wav in wavs])
        missing = {key for key in keys if not self.cache.has(key)}
        for lot in lots:
            if missing.isdisjoint(keys[place] for place in lot) or self.cache.full:
                continue
            audio = [audio_of(wavs[place]) for place in lot]
            made: Iterable[tuple[Sequence[int], list[Item]]]
            if self.encoder is None:
                made = [((0,), [self.compute(audio[0], device)])]
            else:
                made = self.encoder.items(audio, device, on_host=True)
            for places, items in made:
                for place, item in zip(places, items, strict=True):
                    if (key := keys[lot[place]]) in missing:
                        missing.remove(key)
                        self.cache.misses += 1
                        write(functools.partial(self._put, key, item, wavs[lot[place]]))

    def _put(self, key: str, item: Item, wav: Any) -> bool:
        """Keep an item, unless it has numbers that are not finite: what follows then stops the run."""
        good = all(bool(tensor.isfinite().all()) for tensor in item.values())
        if good:
            self.cache.put(key, item, self.spare(wav.split) if isinstance(wav, CachedWaveform) else 0)
        return good

    def spare(self, split: str) -> int:
        """Bytes that items of `split` must leave to those of splits that are met more often."""
        bytes_left = 0.0
        for need in self.needs:
            if need.split == split:
                return int(bytes_left)
            bytes_left += need.size * max(1 - len(self.items(need.split)) / need.utterances, 0)
        return 0

    def _said(self, item: Item) -> Item:
        """The item; that it is wider than the chosen precision is told the first time."""
        if self.stored.kind == "frames" and item[FRAMES].dtype != self._dtype:
            self.widened += 1
            if self.widened == 1 and self.on_widened is not None:
                self.on_widened()
        return item

    def compute(self, wav: Any, device: torch.device) -> Item:
        """The item of a waveform `[sample]`, on the CPU, whether it is stored or not.

        Frames are `[layer, frame, feature]`, in fp32 where the chosen precision does not hold them. The
        upstream runs under the autocast of the step that asks, as it does where nothing is stored.
        """
        import torch

        if self.encoder is not None:
            ((_, (item,)),) = self.encoder.items([wav], device, on_host=True)
            return item
        wave = devices.to_device(torch.as_tensor(wav, dtype=torch.float32), device)
        with torch.no_grad(), devices.whole_fp32():
            states = self._select(self.upstream([wave]))
        states = [states] if isinstance(states, torch.Tensor) else states
        frames = torch.stack([state[0] for state in states]).float()
        if self.stored.kind == "frames":
            dtype = self._dtype if holds(frames, self._dtype) else torch.float32
            return {FRAMES: frames.to(dtype).cpu().contiguous()}
        kept = frames[:, : self.wanted(len(wav))]
        return {
            "sum": kept.sum(dim=1).cpu(),
            "last": frames[:, -1].cpu().contiguous(),
            "count": torch.tensor(frames.shape[1]),
        }


def audio_of(wav: Any) -> Any:
    """The waveform `[sample]` itself, read again if need be."""
    if not isinstance(wav, CachedWaveform):
        return wav
    return wav.read() if wav.wave is None else wav.wave


def holds(frames: Tensor, dtype: torch.dtype) -> bool:
    """Whether `[layer, frame, feature]` keeps its values in `dtype`, see `held`."""
    return dtype == frames.dtype or bool(held(frames, dtype))


def _lengthen(frames: Tensor, count: int) -> Tensor:
    """`[frame, feature]` with its last frame repeated until there are `count`."""
    import torch

    missing = count - len(frames)
    return frames if missing <= 0 else torch.cat([frames, frames[-1:].expand(missing, -1)])
