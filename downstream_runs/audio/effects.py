"""`torchaudio.sox_effects` for the effects that the ten tasks use, without libsox.

Samples are kept as sox keeps them, in 32-bit integers (here inside float64, which holds them exactly), so
`channels`, `gain` and `silence` give the samples of sox 14.4.2 bit for bit. `rate` is soxr's high quality,
the same design as sox's own: equal lengths, samples apart by about -70 dB of the signal.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import soxr
import torch

from downstream_runs.audio.files import open_audio, read_frames
from downstream_runs.audio.silence import Silence
from upstream_arm.common.errors import UsageError

Effects = Sequence[Sequence[str]]

_SCALE = 2.0**31
SUPPORTED = "channels N, rate HZ, gain DB and (after gain) silence 1 SECONDS PERCENT% -1 SECONDS PERCENT%"


def apply_effects_file(
    path: str | os.PathLike[str], effects: Effects, channels_first: bool = True
) -> tuple[torch.Tensor, int]:
    """Decode `path` and apply `effects` in order; returns float32 `[channel, time]` and the rate in Hz.

    UsageError names a file that cannot be decoded, or an effect that is not supported.
    """
    with open_audio(path) as audio:
        rate = int(audio.samplerate)
        samples = read_frames(audio, "float64").T
    return _run(samples, rate, effects, channels_first)


def apply_effects_tensor(
    tensor: torch.Tensor, sample_rate: int, effects: Effects, channels_first: bool = True
) -> tuple[torch.Tensor, int]:
    """Apply `effects` to float32 `[channel, time]`, or `[time, channel]` without `channels_first`."""
    samples = tensor.detach().cpu().numpy().astype(np.float64)
    return _run(samples if channels_first else samples.T, sample_rate, effects, channels_first)


def _run(samples: np.ndarray, rate: int, effects: Effects, channels_first: bool) -> tuple[torch.Tensor, int]:
    samples = _to_integers(samples * _SCALE)
    gained = False
    for effect in effects:
        name, arguments = effect[0], list(effect[1:])
        if name == "channels":
            samples = _channels(samples, effect)
        elif name == "rate":
            target = int(_number(arguments, effect))
            if target != rate:
                samples = _to_integers(soxr.resample(samples.T, rate, target, "HQ").T)
                rate = target
        elif name == "gain":
            samples = _to_integers(samples * 10 ** (_number(arguments, effect) / 20))
            gained = True
        elif name == "silence":
            # Before a gain sox judges loudness in steps of the file's own bit depth, which is not done here.
            if len(samples) != 1 or not gained:
                _refuse(effect, f"{len(samples)} channel(s), {'after' if gained else 'before'} gain")
            samples = _silence(arguments, effect).apply(samples[0], rate)[np.newaxis]
        else:
            _refuse(effect, "an unknown effect")
    wave = torch.from_numpy(np.ascontiguousarray((samples / _SCALE).astype(np.float32)))
    return (wave if channels_first else wave.T), rate


def _to_integers(samples: np.ndarray) -> np.ndarray:
    """Round half away from zero and clip to 32 bits."""
    return np.clip(np.trunc(samples + np.copysign(0.5, samples)), -_SCALE, _SCALE - 1)


def _channels(samples: np.ndarray, effect: Sequence[str]) -> np.ndarray:
    count = int(_number(list(effect[1:]), effect))
    if count == len(samples):
        return samples
    if count == 1:
        return _to_integers(samples.mean(axis=0, keepdims=True))
    if len(samples) == 1 and count > 1:
        return np.repeat(samples, count, axis=0)
    _refuse(effect, f"{len(samples)} channels in the file")


def _silence(arguments: list[str], effect: Sequence[str]) -> Silence:
    if len(arguments) != 6 or arguments[0] != "1" or arguments[3] != "-1":
        _refuse(effect, "other periods than 1 and -1")
    _, start, start_level, _, stop, stop_level = arguments
    if not (start_level.endswith("%") and stop_level.endswith("%")):
        _refuse(effect, "a threshold that is not in per cent")
    return Silence(
        start_seconds=_number([start], effect),
        start_percent=_number([start_level[:-1]], effect),
        stop_seconds=_number([stop], effect),
        stop_percent=_number([stop_level[:-1]], effect),
    )


def _number(arguments: list[str], effect: Sequence[str]) -> float:
    try:
        (text,) = arguments
        return float(text)
    except ValueError:
        _refuse(effect, "not one plain number")


def _refuse(effect: Sequence[str], found: str) -> NoReturn:
    raise UsageError(
        f"the sox effect '{' '.join(effect)}' cannot be applied ({found}); supported are {SUPPORTED}: "
        "convert the audio with the sox program first, or leave the effect out"
    )
