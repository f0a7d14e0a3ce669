"""The batches of a run, numbered: number k is the same whatever came before it.

Order, masks and dropout of a batch follow from the run's seed and its number alone. So a run that goes on
after a kill, and one on more devices, work through the very same batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, Sampler

from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import ConvLayer
from upstream_arm.convolutions import frames
from upstream_arm.distillation.corpus import Utterance
from upstream_arm.distillation.masking import sample_mask
from upstream_arm.distillation.ratio import MaskRatio
from upstream_arm.frontend import valid_frames

# What a random generator is for, beside the seed.
_ORDER, _MASK, _DROPOUT, _VALIDATION = range(4)


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch.

    Attributes:
        number: its place in the stream.
        wavs: [batch, sample] of float32, zero-padded.
        lengths: samples of each utterance.
        valid: [batch, frame] of bool, False for padding.
        mask: [batch, frame] of bool, True for masked frames; None without masking.
    """

    number: int
    wavs: Tensor
    lengths: list[int]
    valid: Tensor
    mask: Tensor | None

    @property
    def masked_fraction(self) -> float:
        """Masked frames among all that are not padding."""
        return 0.0 if self.mask is None else float(self.mask.sum() / self.valid.sum())

    def pin_memory(self) -> Batch:
        """For the loader: page-locked, to be copied to a GPU in the background."""
        mask = None if self.mask is None else self.mask.pin_memory()
        return dataclasses.replace(
            self, wavs=self.wavs.pin_memory(), valid=self.valid.pin_memory(), mask=mask
        )

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device, non_blocking=True)
        wavs = self.wavs.to(device, non_blocking=True)
        return dataclasses.replace(self, wavs=wavs, valid=self.valid.to(device, non_blocking=True), mask=mask)


class Stream(Dataset[Batch]):
    """Epoch after epoch of shuffled buckets.

    Args:
        buckets: the batches of an epoch.
        conv_layers: the student's, for the numbers of frames.
        ratio: of masked frames; None for no masking.
        epochs: of the whole run, for the ratio's schedule.
        seed: the run's.
        shuffled: False for validation: one epoch in order, with masks that no training batch has.
    """

    def __init__(
        self,
        buckets: Sequence[Sequence[Utterance]],
        conv_layers: tuple[ConvLayer, ...],
        ratio: MaskRatio | None,
        epochs: int,
        seed: int,
        shuffled: bool = True,
    ) -> None:
        self.buckets = buckets
        self.conv_layers = conv_layers
        self.ratio = ratio
        self.epochs = epochs
        self.seed = seed
        self.shuffled = shuffled

    def __len__(self) -> int:
        return len(self.buckets) * (self.epochs if self.shuffled else 1)

    def __getitem__(self, number: int) -> Batch:
        epoch, place = divmod(number, len(self.buckets))
        if self.shuffled:
            order = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.buckets))
            place = int(order[place])
        wavs = [read(utterance) for utterance in self.buckets[place]]
        lengths = [len(wav) for wav in wavs]
        counts = [frames(length, self.conv_layers) for length in lengths]
        mask = None
        if self.ratio is not None:
            kind = _MASK if self.shuffled else _VALIDATION
            generator = np.random.default_rng([self.seed, kind, number])
            # Validation keeps the last ratio, so that its numbers can be compared over a schedule.
            ratio = self.ratio.at(epoch, self.epochs) if self.shuffled else self.ratio.end
            mask = torch.from_numpy(sample_mask(counts, ratio, generator))
        valid = valid_frames(counts, max(counts), torch.device("cpu"))
        return Batch(number, pad_sequence(wavs, batch_first=True), lengths, valid, mask)


class Numbers(Sampler[int]):
    """The batch numbers of one device from a step on: steps * accumulation * devices, divided in turn."""

    def __init__(self, first_step: int, steps: int, accumulation: int, rank: int, devices: int) -> None:
        self.range = range(
            first_step * accumulation * devices + rank, steps * accumulation * devices, devices
        )

    def __len__(self) -> int:
        return len(self.range)

    def __iter__(self) -> Iterator[int]:
        return iter(self.range)


def read(utterance: Utterance) -> Tensor:
    """The samples of a recording, [sample] of float32.

    Raises:
        UpstreamError: if the file is not what its length was read from, or a sample is no finite number.
    """
    try:
        samples, _ = soundfile.read(str(utterance.path), dtype="float32")
    except (soundfile.LibsndfileError, OSError) as error:
        raise UpstreamError(f"{utterance.path} cannot be read ({error}); replace or remove it") from None
    if samples.shape != (utterance.samples,):
        raise UpstreamError(
            f"{utterance.path} has samples of shape {samples.shape}, expected ({utterance.samples},); it is "
            "damaged or has changed: replace it and run the same command again"
        )
    if not np.isfinite(samples).all():
        raise UpstreamError(
            f"{utterance.path} holds samples that are no finite numbers (NaN or infinite), expected samples "
            "between -1 and 1; replace or remove it"
        )
    return torch.from_numpy(samples)


def seed_dropout(seed: int, number: int) -> None:
    """Start torch's generators for batch `number`."""
    torch.manual_seed(int(np.random.SeedSequence([seed, _DROPOUT, number]).generate_state(1)[0]))
