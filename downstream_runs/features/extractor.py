"""Features from the cache, computed by the upstream where the cache has none.

Every utterance's features are computed alone, so that they do not depend on which batch came first, nor on
what a killed run had stored. An upstream whose features depend on the padding of their batch then gives other
numbers than stock s3prl, which the run states as a deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from downstream_runs.core.feature_options import DTYPES
from downstream_runs.features.cache import FRAMES, FeatureCache
from downstream_runs.features.items import CachedWaveform, ItemCache, digest
from downstream_runs.features.options import StoredKind, is_batch_free
from upstream_arm.common import devices

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


SUBNORMAL_SHARE = 0.01
"""Of a layer's values that are not 0, how many may lie below the type's smallest normal number (6.1e-5 of
fp16). Such a value keeps fewer bits than the type has, down to none. Features of size 1 have 0.005 %."""


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
    needs: where not all features have room, those of each split, the one that is met most often first.
    widened: how often frames were used in fp32 because the precision does not hold them; on_widened is called
    the first time.
    """

    def __init__(
        self, upstream: nn.Module, stored: StoredKind, cache: FeatureCache, featurizer: Any, crops: bool
    ) -> None:
        import torch

        self.upstream: Callable[..., Any] = upstream
        self.stored, self.cache, self.rate = stored, cache, featurizer.downsample_rate
        self._select: Callable[..., Any] = featurizer._select_feature
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
        if self.stored.kind == "pooled":
            means = self._means(wavs, [self.item(wav, device) for wav in wavs])
            pooled: list[Tensor] = featurizer(to_device(means, device))
            return pooled
        items = [self.item(wav, device)[FRAMES] for wav in wavs]
        kept = self._kept(wavs, [item.shape[1] for item in items])
        frames = [to_device(item, device)[:, :count] for item, count in zip(items, kept, strict=True)]
        return [_lengthen(one, count) for one, count in zip(featurizer(frames), kept, strict=True)]

    def _means(self, wavs: Sequence[Any], items: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """Means over the frames that the featurizer would leave, `[batch, layer, feature]`."""
        import torch

        counts = [int(item["count"]) for item in items]
        kept = self._kept(wavs, counts)
        sums = torch.stack([item["sum"] for item in items])
        for number, (item, frames, count) in enumerate(zip(items, kept, counts, strict=True)):
            if frames > count:
                sums[number].add_(item["last"], alpha=frames - count)
        return sums.div_(torch.tensor(kept, dtype=sums.dtype)[:, None, None])

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

    def item(self, wav: Any, device: torch.device) -> dict[str, Tensor]:
        """The item of a waveform `[sample]`, or of what stands for it: from the cache, or computed."""
        import torch

        known = wav if isinstance(wav, CachedWaveform) else None
        if known is None and self._crops:
            self.cache.misses += 1
            return self._said(self.compute(wav, device))
        sha256 = digest(wav) if known is None else known.sha256
        # Under autocast (`--precision`) the features are others, which have keys of their own.
        enabled, dtype = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)
        key = self.cache.key(sha256, f" {enabled} {dtype} ")
        item = self.cache.get(key)
        if item is None:
            if known is not None:
                wav = known.read() if known.wave is None else known.wave
            item = self.compute(wav, device)
            if not all(bool(tensor.isfinite().all()) for tensor in item.values()):
                return item  # what follows stops the run; nothing of it is to be used again
            self.cache.put(key, item, 0 if known is None else self.spare(known.split))
        return self._said(item)

    def spare(self, split: str) -> int:
        """Bytes that items of `split` must leave to those of splits that are met more often."""
        bytes_left = 0.0
        for need in self.needs:
            if need.split == split:
                return int(bytes_left)
            bytes_left += need.size * max(1 - len(self.items(need.split)) / need.utterances, 0)
        return 0

    def _said(self, item: dict[str, Tensor]) -> dict[str, Tensor]:
        """The item; that it is wider than the chosen precision is told the first time."""
        if self.stored.kind == "frames" and item[FRAMES].dtype != self._dtype:
            self.widened += 1
            if self.widened == 1 and self.on_widened is not None:
                self.on_widened()
        return item

    def compute(self, wav: Any, device: torch.device) -> dict[str, Tensor]:
        """The item of a waveform `[sample]`, on the CPU, whether it is stored or not.

        Frames are `[layer, frame, feature]`, in fp32 where the chosen precision does not hold them. The
        upstream runs under the autocast of the step that asks, as it does where nothing is stored.
        """
        import torch

        wave = to_device(torch.as_tensor(wav, dtype=torch.float32), device)
        with torch.no_grad():
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


def holds(frames: Tensor, dtype: torch.dtype) -> bool:
    """Whether `[layer, frame, feature]` keeps its values in `dtype`, up to the rounding that it always has.

    False if a finite value becomes infinite, or if in some layer too many are below the type's normal range.
    """
    import torch

    if dtype == frames.dtype:
        return True
    if bool((frames.isfinite() & ~frames.to(dtype).isfinite()).any()):
        return False
    size = frames.abs()
    small = (size > 0) & (size < torch.finfo(dtype).smallest_normal)
    counts, nonzero = small.sum(dim=(1, 2)), (size > 0).sum(dim=(1, 2))
    return not bool((counts > SUBNORMAL_SHARE * nonzero).any())


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on `device`; from the CPU to a GPU through page-locked memory, so that it need not wait.

    torch keeps the page-locked memory until the copy is over.
    """
    if device.type not in devices.PINNED or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _lengthen(frames: Tensor, count: int) -> Tensor:
    """`[frame, feature]` with its last frame repeated until there are `count`."""
    import torch

    missing = count - len(frames)
    return frames if missing <= 0 else torch.cat([frames, frames[-1:].expand(missing, -1)])
