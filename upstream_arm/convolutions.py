"""Lengths through a stack of unpadded convolutions."""

from __future__ import annotations

from collections.abc import Iterable

from upstream_arm.config import ConvLayer

TOLERATED_FRAMES = 5
"""s3prl's TOLERABLE_SEQLEN_DIFF: its featurizer accepts fewer frames too many or too few than this."""


def conv_lengths(samples: int, conv_layers: Iterable[ConvLayer]) -> tuple[int, ...]:
    """Output length of each unpadded convolution: floor((length - kernel) / stride) + 1, 0 if too short."""
    lengths = []
    for _, kernel, stride in conv_layers:
        samples = (samples - kernel) // stride + 1 if samples >= kernel else 0
        lengths.append(samples)
    return tuple(lengths)


def receptive_field(conv_layers: Iterable[ConvLayer]) -> tuple[int, int]:
    """Samples under the first frame and samples from one frame to the next.

    `frames` equals floor((samples - first) / step) + 1 from `first` samples on.
    """
    first, step = 1, 1
    for _, kernel, stride in conv_layers:
        first += (kernel - 1) * step
        step *= stride
    return first, step


def frames(samples: int, conv_layers: Iterable[ConvLayer]) -> int:
    """Frames T that the front end makes of a waveform of `samples` samples."""
    first, step = receptive_field(conv_layers)
    return (samples - first) // step + 1 if samples >= first else 0
