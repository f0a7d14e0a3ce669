"""Utterances encoded together on a device, in lots of like lengths that its memory holds.

Each pass of an encoder starts some 300 kernels on a device whatever it encodes, so that utterances of a few
seconds, one at a time, leave it idle. Together their features have other roundings than alone (1e-6 of the
largest value in fp32, measured; TOLERANCE is what tests hold), which decides where this is done:

- On a CPU never. The students encode a batch one by one there, with the same bits and in the same time
  (16 utterances of 1 s: 1.28 s of CPU alone, 1.25 s together); what pads a batch has other bits and takes
  longer (1 to 30 s: 37 s for 5 s); encoders of transformers have other bits where lengths are equal.
- On a device: random crops, and what has no room in the store, with what the same step needs; and whatever is
  stored before training in lots that follow from the corpus' list alone. So what is stored does not depend on
  a kill, on steps, or on what other runs had stored. What else a step lacks is encoded alone, and stored.
- What remains: after memory was too little, lots are smaller from there on; and two tasks that share audio,
  or folds of one, list it differently, and the first to store an utterance decides its rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from downstream_runs.core.feature_options import DTYPES
from downstream_runs.features.cache import FRAMES, Item
from upstream_arm.common import devices

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from downstream_runs.features.options import StoredKind

MOST_SAMPLES = 160 * 16_000
"""Of a lot, padding included. A pass over 160 s takes a device longer than starting its kernels does; a
student of 26 M parameters takes about 7 GB for it."""

TOLERANCE = 1e-4
"""How far features in fp32 are from those that an utterance gets alone, at most, of the largest of them."""

SUBNORMAL_SHARE = 0.01
"""Of a layer's values that are not 0, how many may lie below the type's smallest normal number (6.1e-5 of
fp16). Such a value keeps fewer bits than the type has, down to none. Features of size 1 have 0.005 %."""


class _Lot(NamedTuple):
    """A lot that the device is encoding: the places of its utterances, and how many frames each has.

    made: what is kept of them, `[utterance, 2, layer, feature]` of `pooled` or `[utterance, layer, frame,
    feature]`. fits: of which of them the type of `made` holds the frames. wide: the frames in fp32.
    """

    places: Sequence[int]
    counts: Sequence[int]
    made: Tensor
    fits: Tensor | None = None
    wide: Tensor | None = None


class Encoder:
    """Makes the items of waveforms in lots, which become smaller where the device has too little memory.

    select: takes the hidden states of the upstream's output. wanted: the frames that are kept of so many
    samples. limit: samples of a lot, padding included. on_halved: is told each new one.
    """

    def __init__(
        self,
        upstream: Any,
        select: Callable[[Any], Any],
        stored: StoredKind,
        wanted: Callable[[int], int],
    ) -> None:
        self.limit = MOST_SAMPLES
        self.on_halved: Callable[[int], None] | None = None
        self._upstream, self._select, self._stored = upstream, select, stored
        self._wanted = wanted
        # What cannot say how many frames an utterance has by itself is given equally long ones only.
        student = getattr(upstream, "student", None)
        self._count: Callable[[int], int] | None = getattr(student, "count_frames", None)

    def lots(self, lengths: Sequence[int]) -> list[list[int]]:
        """The places of waveforms of these lengths, the longest first, in lots of like lengths."""
        lots: list[list[int]] = []
        for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
            longest = lengths[lots[-1][0]] if lots else 0
            alike = self._count is not None or longest == lengths[place]
            if not lots or not alike or (len(lots[-1]) + 1) * longest > self.limit:
                lots.append([])
            lots[-1].append(place)
        return lots

    def items(
        self, waves: Sequence[Any], device: torch.device, on_host: bool
    ) -> Iterator[tuple[Sequence[int], list[Item]]]:
        """The items of waveforms `[sample]`, lot by lot, each lot with the places of its waveforms.

        on_host: they are on the CPU, after one copy a lot, which is waited for when the next lot is under
        way; else they stay on the device. torch.OutOfMemoryError for one utterance that it does not hold.
        """
        import torch

        lots = self.lots([len(wave) for wave in waves])
        ahead: _Lot | None = None
        while lots:
            begun = None
            try:
                begun = self._begin(lots[0], [waves[place] for place in lots[0]], device, on_host)
            except torch.OutOfMemoryError:
                if len(lots[0]) == 1:
                    raise
            if begun is None:  # only here are the tensors gone that the error had hold of
                devices.empty_cache(device)
                lots = self._halved(lots, waves)
                continue
            del lots[0]
            if ahead is not None:
                yield ahead.places, self._read(ahead, on_host)
            ahead = begun
        if ahead is not None:
            yield ahead.places, self._read(ahead, on_host)

    def _halved(self, lots: Sequence[Sequence[int]], waves: Sequence[Any]) -> list[list[int]]:
        """What is left to do in lots of half the size of the first, which is too large."""
        self.limit = len(lots[0]) * len(waves[lots[0][0]]) // 2
        if self.on_halved is not None:
            self.on_halved(self.limit)
        rest = [place for lot in lots for place in lot]
        return [[rest[one] for one in lot] for lot in self.lots([len(waves[place]) for place in rest])]

    def _begin(
        self, places: Sequence[int], waves: Sequence[Any], device: torch.device, on_host: bool
    ) -> _Lot:
        """Start a lot on the device, and wait for nothing."""
        import torch

        lengths = [len(wave) for wave in waves]
        padded = torch.zeros(len(waves), max(lengths))
        for row, wave in zip(padded, waves, strict=True):
            row[: len(wave)] = torch.as_tensor(wave, dtype=torch.float32)
        rows = devices.to_device(padded, device)  # one copy
        with torch.no_grad(), devices.whole_fp32():
            given = [row[:length] for row, length in zip(rows, lengths, strict=True)]
            states = self._select(self._upstream(given))
            states = [states] if isinstance(states, torch.Tensor) else states
            frames = torch.stack(list(states), dim=1).float()
        counts = [frames.shape[2] if self._count is None else self._count(length) for length in lengths]
        if self._stored.kind == "pooled":
            kept = [min(self._wanted(length), count) for length, count in zip(lengths, counts, strict=True)]
            ends = devices.to_device(torch.tensor([kept, counts]), device)
            return _Lot(places, counts, _pooled(frames, *ends))
        dtype: torch.dtype = getattr(torch, DTYPES[self._stored.precision])
        if dtype == frames.dtype:
            return _Lot(places, counts, frames)
        own = devices.to_device(torch.tensor(counts), device)
        within = torch.arange(frames.shape[2], device=device) < own[:, None]
        fits = held(frames * within[:, None, :, None], dtype)
        return _Lot(places, counts, frames.to(dtype), fits, frames)

    def _read(self, lot: _Lot, on_host: bool) -> list[Item]:
        """The items of a lot. In one copy: whether a type holds the frames goes with them."""
        import torch

        made, fits = lot.made, [True] * len(lot.places)
        if lot.fits is not None and on_host:
            flat = torch.cat([made.flatten(1), lot.fits[:, None].to(made.dtype)], dim=1).cpu()
            made, fits = flat[:, :-1].view(made.shape), [bool(one) for one in flat[:, -1].tolist()]
        elif lot.fits is not None:
            fits = lot.fits.tolist()
        elif on_host:
            made = made.cpu()
        if self._stored.kind == "pooled":
            return [
                {"sum": total, "last": last, "count": torch.tensor(count)}
                for (total, last), count in zip(made.clone() if on_host else made, lot.counts, strict=True)
            ]
        items = []
        for place, (count, fit) in enumerate(zip(lot.counts, fits, strict=True)):
            source = made if fit or lot.wide is None else lot.wide
            own = source[place, :, :count]
            items.append({FRAMES: own.cpu().clone() if on_host else own})
        return items


def _pooled(frames: Tensor, kept: Tensor, counts: Tensor) -> Tensor:
    """The sum over each utterance's first `kept` frames, and its last of `counts`.

    `[utterance, layer, frame, feature]` to `[utterance, 2, layer, feature]`.
    """
    import torch

    utterances, layers, total, width = frames.shape
    within = torch.arange(total, device=frames.device) < kept[:, None]
    sums = (frames * within[:, None, :, None]).sum(dim=2)
    last = frames.gather(2, (counts - 1)[:, None, None, None].expand(utterances, layers, 1, width))
    return torch.stack([sums, last.squeeze(2)], dim=1)


def held(frames: Tensor, dtype: torch.dtype) -> Tensor:
    """Whether `[..., layer, frame, feature]` keeps its values in `dtype`, up to the rounding that that has.

    `[...]` of bool. Not if a finite value becomes infinite, or if in some layer too many are below the type's
    normal range.
    """
    import torch

    lost = (frames.isfinite() & ~frames.to(dtype).isfinite()).flatten(-3).any(-1)
    size = frames.abs()
    small = (size > 0) & (size < torch.finfo(dtype).smallest_normal)
    few = small.sum(dim=(-1, -2)) <= SUBNORMAL_SHARE * (size > 0).sum(dim=(-1, -2))
    return few.all(-1) & ~lost
