"""What a waveform must be before a student takes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from upstream_arm.common.errors import UpstreamError
from upstream_arm.student import SAMPLE_RATE

INT16_SCALE = 32_768


def prepare(
    wav: Tensor | np.ndarray[Any, Any], name: str = "the waveform", sample_rate: int = SAMPLE_RATE
) -> Tensor:
    """Check one waveform of torch or numpy, and convert what has one meaning only.

    Accepted are floating point waveforms [sample] or [1, sample], and int16, which is divided by 32768.
    Silence is accepted. They are not normalised: the students were trained on raw waveforms. Returned is
    [sample] of float32, or of the given floating point type.

    UpstreamError, which calls it `name`, for another rate than 16 kHz, several channels, other integer types,
    NaN or infinity, or something that is no waveform.
    """
    if sample_rate != SAMPLE_RATE:
        raise UpstreamError(
            f"{name} has a sample rate of {sample_rate} Hz, expected {SAMPLE_RATE} Hz; resample it "
            "first, for example with soxr.resample"
        )
    wav = _as_tensor(wav, name)
    if wav.dim() == 2 and wav.shape[0] == 1:
        wav = wav[0]
    if wav.dim() != 1:
        raise UpstreamError(
            f"{name} has shape {list(wav.shape)}, expected [sample]; give one channel, for example their mean"
        )
    if wav.dtype == torch.int16:
        wav = wav.float() / INT16_SCALE
    if not wav.is_floating_point():
        raise UpstreamError(
            f"{name} has type {wav.dtype}, expected floating point samples from -1 to 1 or int16; convert it"
        )
    if not torch.isfinite(wav).all():
        raise UpstreamError(f"{name} has NaN or infinite samples, expected finite ones; repair the recording")
    return wav


def _as_tensor(wav: Any, name: str) -> Tensor:
    if isinstance(wav, Tensor):
        return wav
    if not isinstance(wav, np.ndarray) or wav.dtype.kind not in "fiub" or wav.dtype.itemsize > 8:
        kind = f"a numpy array of {wav.dtype}" if isinstance(wav, np.ndarray) else f"a {type(wav).__name__}"
        raise UpstreamError(f"{name} is {kind}, expected a tensor of samples; give torch.as_tensor(samples)")
    # Other byte orders, and views that run backwards, have no counterpart in torch.
    return torch.from_numpy(np.ascontiguousarray(wav, dtype=wav.dtype.newbyteorder("=")))
