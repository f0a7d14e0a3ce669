"""The functions that torchaudio dropped in 2.9 and that s3prl calls, over libsndfile.

`load`, `info`, `save` and the types they return behave as torchaudio 2.8 documented them for files on disk.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
import torchaudio

from downstream_runs.audio import effects as sox_effects
from downstream_runs.audio.files import open_audio, read_frames, require_finite
from downstream_runs.bridge.stand_ins import supply_module
from upstream_arm.common.files import atomic_path

# libsndfile's subtype -> torchaudio's name of the encoding and its bits per sample (0: not meaningful).
_ENCODINGS = {
    "PCM_U8": ("PCM_U", 8),
    "PCM_S8": ("PCM_S", 8),
    "PCM_16": ("PCM_S", 16),
    "PCM_24": ("PCM_S", 24),
    "PCM_32": ("PCM_S", 32),
    "FLOAT": ("PCM_F", 32),
    "DOUBLE": ("PCM_F", 64),
    "ULAW": ("ULAW", 8),
    "ALAW": ("ALAW", 8),
    "VORBIS": ("VORBIS", 0),
    "OPUS": ("OPUS", 0),
    "MPEG_LAYER_III": ("MP3", 0),
}
# The subtype of what `save` writes, by the type of the samples, in WAV files.
_WAV_SUBTYPES = {
    torch.uint8: "PCM_U8",
    torch.int16: "PCM_16",
    torch.int32: "PCM_32",
    torch.float32: "FLOAT",
    torch.float64: "DOUBLE",
}
# torchaudio's encoding and bits per sample -> libsndfile's subtype; the first of an encoding is its default.
_SUBTYPES = {
    ("PCM_S", 16): "PCM_16",
    ("PCM_S", 24): "PCM_24",
    ("PCM_S", 32): "PCM_32",
    ("PCM_S", 8): "PCM_S8",
    ("PCM_U", 8): "PCM_U8",
    ("PCM_F", 32): "FLOAT",
    ("PCM_F", 64): "DOUBLE",
    ("ULAW", 8): "ULAW",
    ("ALAW", 8): "ALAW",
}
_INTEGER_TYPES = {"PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}


class AudioMetaData(NamedTuple):
    """What a file's header says; `num_frames` counts frames, not samples of all channels."""

    sample_rate: int
    num_frames: int
    num_channels: int
    bits_per_sample: int
    encoding: str


def load(
    uri: str | os.PathLike[str],
    frame_offset: int = 0,
    num_frames: int = -1,
    normalize: bool = True,
    channels_first: bool = True,
    format: str | None = None,
    buffer_size: int = 4096,
    backend: str | None = None,
) -> tuple[torch.Tensor, int]:
    """Decode a file into a waveform and its rate in Hz.

    The waveform is float32 in [-1, 1), `[channel, time]`, or `[time, channel]` without `channels_first`.
    Without `normalize`, a WAV file of 8, 16, 24 or 32-bit integers keeps them (uint8, int16, int32, int32).
    `format`, `buffer_size` and `backend` are accepted and not needed: libsndfile looks at the file itself.

    Raises UsageError for a missing, damaged or truncated file, ValueError for an impossible range.
    """
    if frame_offset < 0 or num_frames < -1 or num_frames == 0:
        raise ValueError(f"frame_offset {frame_offset} must be >= 0, num_frames {num_frames} -1 or > 0")
    with open_audio(uri) as audio:
        keep = not normalize and audio.format in ("WAV", "WAVEX")
        eight_bits = keep and audio.subtype == "PCM_U8"
        dtype = "int16" if eight_bits else _INTEGER_TYPES.get(audio.subtype, "float32") if keep else "float32"
        data = read_frames(audio, dtype, frame_offset, num_frames)
        rate = int(audio.samplerate)
    if eight_bits:
        data = ((data >> 8) + 128).astype(np.uint8)
    wave = torch.from_numpy(np.ascontiguousarray(data.T if channels_first else data))
    return wave, rate


def info(
    uri: str | os.PathLike[str],
    format: str | None = None,
    buffer_size: int = 4096,
    backend: str | None = None,
) -> AudioMetaData:
    """Read a file's header; UsageError as in `load`."""
    with open_audio(uri) as audio:
        encoding, bits = _ENCODINGS.get(audio.subtype, ("UNKNOWN", 0))
        return AudioMetaData(
            sample_rate=int(audio.samplerate),
            num_frames=int(audio.frames),
            num_channels=int(audio.channels),
            bits_per_sample=bits,
            encoding="FLAC" if audio.format == "FLAC" else encoding,
        )


def save(
    uri: str | os.PathLike[str],
    src: torch.Tensor,
    sample_rate: int,
    channels_first: bool = True,
    format: str | None = None,
    encoding: str | None = None,
    bits_per_sample: int | None = None,
    buffer_size: int = 4096,
    backend: str | None = None,
    compression: float | None = None,
) -> None:
    """Write a waveform `[channel, time]` (or `[time, channel]`, or `[time]`) to a file, whole or not at all.

    The kind of file is `format`, else the ending of its name. WAV keeps the type of the samples unless
    `encoding` and `bits_per_sample` say otherwise; other kinds have libsndfile's default. `buffer_size`,
    `backend` and `compression` are accepted and not needed.

    Raises ValueError for samples or an encoding that libsndfile cannot write, OSError for the file.
    """
    if src.dim() not in (1, 2):
        raise ValueError(
            f"a waveform of shape {list(src.shape)} was given, expected [channel, time] or [time]"
        )
    kind = (format or Path(uri).suffix.removeprefix(".")).upper()
    samples = src.detach().cpu()
    subtype = _subtype(samples.dtype, kind, encoding, bits_per_sample)
    if samples.dim() == 2 and channels_first:
        samples = samples.T
    if samples.dtype == torch.uint8:  # libsndfile takes no unsigned samples
        samples = ((samples.short() - 128) << 8).to(torch.int16)
    try:
        with atomic_path(Path(uri)) as temporary:
            soundfile.write(str(temporary), samples.numpy(), sample_rate, subtype=subtype, format=kind)
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        raise ValueError(
            f"{uri} cannot be written as {kind or 'a file without an ending'}: {error}"
        ) from None


def _subtype(dtype: torch.dtype, kind: str, encoding: str | None, bits: int | None) -> str | None:
    """libsndfile's name of how samples are stored; None: its default for the kind of file."""
    if encoding is None and bits is None:
        return _WAV_SUBTYPES.get(dtype) if kind == "WAV" else None
    for (name, width), subtype in _SUBTYPES.items():
        if encoding in (None, name) and bits in (None, width):
            return subtype
    raise ValueError(f"there is no encoding {encoding} of {bits} bits, expected one of {sorted(_SUBTYPES)}")


def set_audio_backend(backend: str | None) -> None:
    """Do nothing: there is one decoder."""


def get_audio_backend() -> str:
    """The name of the only decoder."""
    return "soundfile"


def install() -> None:
    """Add to torchaudio what it lacks; replace `load` and `save` only where their torchcodec is unusable.

    Readers of its own that are kept refuse samples that are no finite numbers, as ours do.
    """
    for function in (set_audio_backend, get_audio_backend, info):
        if not hasattr(torchaudio, function.__name__):
            setattr(torchaudio, function.__name__, function)
    if hasattr(torchaudio, "load_with_torchcodec") and not _importable("torchcodec.decoders"):
        torchaudio.load = load
    elif torchaudio.load is not load:
        torchaudio.load = _finite_only(torchaudio.load)
    if hasattr(torchaudio, "save_with_torchcodec") and not _importable("torchcodec.encoders"):
        torchaudio.save = save
    if not _importable("torchaudio.sox_effects"):
        ours = (sox_effects.apply_effects_file, sox_effects.apply_effects_tensor)
        members = {function.__name__: function for function in ours}
        torchaudio.sox_effects = supply_module("torchaudio.sox_effects", members)
    kept = sys.modules.get("torchaudio.sox_effects")
    if kept is not None and kept.apply_effects_file is not sox_effects.apply_effects_file:
        vars(kept)["apply_effects_file"] = _finite_only(kept.apply_effects_file)


def _finite_only(read: Callable[..., tuple[torch.Tensor, int]]) -> Callable[..., tuple[torch.Tensor, int]]:
    """`read(file, ...)`, with a UsageError that names the file where a sample is no finite number."""

    if getattr(read, "refuses_nonfinite", False):
        return read

    @functools.wraps(read)
    def read_finite(file: str | os.PathLike[str], *others: Any, **options: Any) -> tuple[torch.Tensor, int]:
        wave, rate = read(file, *others, **options)
        if wave.is_floating_point():
            require_finite(file, wave.T.numpy())
        return wave, rate

    vars(read_finite)["refuses_nonfinite"] = True
    return read_finite


def _importable(name: str) -> bool:
    # torchcodec is often installed without the FFmpeg libraries that it loads, which is no ImportError.
    try:
        importlib.import_module(name)
    except (ImportError, OSError, RuntimeError):
        return False
    return True
