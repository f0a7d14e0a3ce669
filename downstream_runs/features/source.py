"""Features from a store, computed by the upstream where the store has none.

Every utterance's features are computed alone, so that they do not depend on which batch came first, nor on
what a killed run had stored. An upstream whose features depend on the padding of their batch then gives other
numbers than stock s3prl, which the run states as a deviation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from downstream_runs.engine.transfer import to_device
from downstream_runs.features import remembered, rounding, settings
from downstream_runs.features.remembered import Memory, StoredWave
from downstream_runs.features.store import Store

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

TYPES = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}


class Source:
    """Gives what s3prl's featurizer would of an upstream's hidden states."""

    def __init__(
        self,
        upstream: nn.Module,
        identity: str,
        choice: settings.Choice,
        store: Store,
        rate: int,
        seldom: bool,
    ) -> None:
        """Take the upstream's place.

        identity: tells one upstream's features from another's, see `settings.identity`.
        rate: samples from one frame to the next. seldom: a waveform that is given itself may be a random
        crop, which never comes again, so that it is stored only when it comes a second time.

        widened counts how often frames were used in fp32 because the chosen precision does not hold them;
        on_widened is called the first time.
        """
        import torch

        self.upstream: Callable[..., Any] = upstream
        self.choice, self.store, self.rate = choice, store, rate
        self.batch_free = settings.is_batch_free(upstream)
        self._prefix = f"{settings.VERSION} {identity} {choice.kind} {choice.precision}"
        self._dtype: torch.dtype = getattr(torch, TYPES[choice.precision])
        self._seen: set[bytes] | None = set() if seldom else None
        self.widened = 0
        self.on_widened: Callable[[], None] | None = None
        self._last: tuple[Sequence[Any], Tensor] | None = None
        self._memories: dict[str, Memory] = {}

    def memory(self, split: str) -> Memory:
        """The items of a split that need not be read again."""
        return self._memories.setdefault(split, Memory())

    def features(self, featurizer: Any, wavs: Sequence[Any], device: torch.device) -> list[Tensor]:
        """The weighted sums over layers, `[frame, feature]` each, on `device`; one frame where pooled.

        featurizer: s3prl's, that `weighting.take_over` prepared. wavs: waveforms `[sample]`, or what stands
        for them. The frames are those that the featurizer leaves of a batch: its last frame is repeated where
        an upstream that does not depend on the batch does so.
        """
        if self.choice.kind == "pooled":
            found: list[Tensor] = featurizer(self._batch_means(wavs, device))
            return found
        items = [self._item(wav, device) for wav in wavs]
        counts = [item["frames"].shape[1] for item in items]
        kept = [self._kept(len(wav), count, max(counts)) for wav, count in zip(wavs, counts, strict=True)]
        placed = [to_device(item["frames"], device) for item in items]
        stored = [item[:, :frames] for item, frames in zip(placed, kept, strict=True)]
        return [_lengthen(one, frames) for one, frames in zip(featurizer(stored), kept, strict=True)]

    def _batch_means(self, wavs: Sequence[Any], device: torch.device) -> Tensor:
        """Those of the last batch are at hand: several heads may be given it one after another."""
        if self._last is None or self._last[0] is not wavs:
            items = [self._item(wav, device) for wav in wavs]
            self._last = wavs, to_device(self._means(wavs, items), device)
        return self._last[1]

    def _means(self, wavs: Sequence[Any], items: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """Means over the frames that the featurizer would leave, `[batch, layer, feature]`."""
        import torch

        counts = [int(item["count"]) for item in items]
        longest = max(counts)
        kept = [self._kept(len(wav), count, longest) for wav, count in zip(wavs, counts, strict=True)]
        sums = torch.stack([item["sum"] for item in items])
        for number, (item, frames, count) in enumerate(zip(items, kept, counts, strict=True)):
            if frames > count:
                sums[number].add_(item["last"], alpha=frames - count)
        return sums.div_(torch.tensor(kept, dtype=sums.dtype)[:, None, None])

    def _kept(self, samples: int, count: int, longest: int) -> int:
        """The frames that an utterance of `count` keeps in a batch whose longest has `longest`."""
        return min(self._wanted(samples), longest if self.batch_free else count)

    def _wanted(self, samples: int) -> int:
        """The frames that s3prl's featurizer keeps of an utterance (s3prl/upstream/interfaces.py, tolist)."""
        return round(samples / self.rate)

    def _item(self, wav: Any, device: torch.device) -> dict[str, Tensor]:
        known = wav if isinstance(wav, StoredWave) else None
        sha256 = remembered.digest(wav) if known is None else known.sha256
        key = self._key(sha256, device.type)
        found = self.store.get(key)
        if found is not None:
            self._count_widened(found)
            return found
        if known is not None:
            wav = known.read() if known.wave is None else known.wave
        item = self.compute(wav, device)
        if not _is_finite(item):
            return item  # what follows stops the run; nothing of it is to be found again
        self._count_widened(item)
        if known is not None or self._seen is None or sha256 in self._seen:
            self.store.put(key, item)
        else:
            self._seen.add(sha256)
        return item

    def _count_widened(self, item: Mapping[str, Tensor]) -> None:
        if self.choice.kind == "frames" and item["frames"].dtype != self._dtype:
            self.widened += 1
            if self.widened == 1 and self.on_widened is not None:
                self.on_widened()

    def _key(self, sha256: bytes, device: str) -> str:
        """Under autocast (`--precision`) the upstream's features are others, which have keys of their own."""
        import torch

        cast = f" {torch.is_autocast_enabled(device)} {torch.get_autocast_dtype(device)} "
        return hashlib.sha256((self._prefix + cast).encode() + sha256).hexdigest()

    def compute(self, wav: Any, device: torch.device) -> dict[str, Tensor]:
        """The item of a waveform `[sample]`, on the CPU, whether it is stored or not.

        Frames are `[layer, frame, feature]`, in fp32 where the chosen precision does not hold them. The
        upstream runs under the autocast of the step that asks, as it does where nothing is stored.
        """
        import torch

        wave = to_device(torch.as_tensor(wav, dtype=torch.float32), device)
        with torch.no_grad():
            states = self.upstream([wave])["hidden_states"]
        if isinstance(states, dict):
            states = list(states.values())
        frames = torch.stack([state[0] for state in states]).float()
        if self.choice.kind == "frames":
            dtype = self._dtype if rounding.holds(frames, self._dtype) else torch.float32
            return {"frames": frames.to(dtype).cpu().contiguous()}
        kept = frames[:, : self._wanted(len(wav))]
        return {
            "sum": kept.sum(dim=1).cpu(),
            "last": frames[:, -1].cpu().contiguous(),
            "count": torch.tensor(frames.shape[1]),
        }


def _is_finite(item: Mapping[str, Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in item.values())


def _lengthen(frames: Tensor, count: int) -> Tensor:
    """`[frame, feature]` with its last frame repeated until there are `count`."""
    import torch

    missing = count - len(frames)
    return frames if missing <= 0 else torch.cat([frames, frames[-1:].expand(missing, -1)])
