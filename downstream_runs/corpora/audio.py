"""Reading audio files with the checks that a silent reader leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from downstream_runs.corpora.layout import SAMPLE_RATE
from upstream_arm.common.errors import UsageError

FRAME = 400
"""Samples at 16 kHz of which s3prl's fbank, HuBERT's convolutions and our students make one frame."""

SHORTEST = 560
"""Samples at 16 kHz of two frames of s3prl's fbank, which normalises one alone to NaN."""

RESTORE = "restore that file from the corpus"

_UNKNOWN_LENGTH = 1 << 40
"""libsndfile gives the largest integer there is for a flac whose header leaves the length open."""


@dataclass(frozen=True)
class Form:
    """What a file holds: samples a channel, samples a second, channels."""

    samples: int
    rate: int
    channels: int


class AudioProblem(Exception):
    """A file that cannot be used: one sentence that names it and says what was found and expected."""


def length(path: Path) -> int:
    """The length of a 16 kHz, one-channel file in samples, from its header alone.

    Raises AudioProblem if the file is absent, empty, unreadable, of another rate, of several channels or of
    fewer samples than `SHORTEST`.
    A file that was cut short keeps its header: only `decode` notices that.
    """
    import soundfile

    _require_bytes(path)
    try:
        header = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioProblem(f"{path} cannot be read as audio ({_reason(error)})") from None
    if header.samplerate != SAMPLE_RATE:
        raise AudioProblem(f"{path} is sampled at {header.samplerate:,} Hz, {SAMPLE_RATE:,} Hz was expected")
    if header.channels != 1:
        raise AudioProblem(f"{path} has {header.channels} channels, one was expected")
    if not 0 < header.frames < _UNKNOWN_LENGTH:
        raise AudioProblem(f"{path} holds no audio: its header gives no number of samples")
    if header.frames < SHORTEST:
        raise AudioProblem(
            f"{path} has {header.frames:,} {'sample' if header.frames == 1 else 'samples'} at "
            f"{SAMPLE_RATE:,} Hz, at least {SHORTEST:,} were expected (two frames of 25 ms)"
        )
    return int(header.frames)


def decode(path: Path) -> int:
    """Decode the whole file and return its length in samples.

    Raises AudioProblem where `length` does, if fewer samples come out than the header promises, and if one of
    them is no finite number.
    """
    length(path)
    return decode_any(path).samples


def decode_any(path: Path) -> Form:
    """Decode the whole of a file of any rate and number of channels.

    Raises AudioProblem if it is absent, empty, damaged or cut short, or if a sample is no finite number.
    """
    import soundfile

    from downstream_runs.audio.files import FLOATS, missing_bytes, require_finite

    _require_bytes(path)
    lost = missing_bytes(path)
    if lost:
        raise AudioProblem(f"{path} is cut short: it ends {lost:,} bytes before the length in its header")
    promised = None
    try:
        with soundfile.SoundFile(str(path)) as file:
            promised, rate, channels = int(file.frames), int(file.samplerate), int(file.channels)
            if not 0 < promised < _UNKNOWN_LENGTH:
                raise AudioProblem(f"{path} holds no audio: its header gives no number of samples")
            samples = file.read(dtype="float32" if file.subtype in FLOATS else "int16")
    except (soundfile.SoundFileError, OSError) as error:
        if promised is None:
            raise AudioProblem(f"{path} cannot be read as audio ({_reason(error)})") from None
        raise AudioProblem(
            f"{path} is cut short or damaged: its header promises {promised:,} samples and decoding stopped "
            f"({_reason(error)})"
        ) from None
    if len(samples) != promised:
        raise AudioProblem(
            f"{path} is cut short: its header promises {promised:,} samples and {len(samples):,} could be "
            "decoded"
        )
    try:
        require_finite(path, samples)
    except UsageError as error:
        raise AudioProblem(str(error)) from None
    return Form(promised, rate, channels)


def _require_bytes(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise AudioProblem(f"{path} cannot be read ({_reason(error)})") from None
    if size == 0:
        raise AudioProblem(f"{path} is empty (0 bytes)")


def _reason(error: Exception) -> str:
    """The library's own words without the path, which the sentence around names already."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    words = str(getattr(error, "error_string", error)).strip().rstrip(".")
    return words.removeprefix("Error : ")
