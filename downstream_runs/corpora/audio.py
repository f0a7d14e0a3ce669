"""Reading flac files with the checks that a silent reader leaves out."""

from __future__ import annotations

from pathlib import Path

from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.errors import UsageError

_UNKNOWN_LENGTH = 1 << 40
"""libsndfile gives the largest integer there is for a flac whose header leaves the length open."""


class AudioProblem(Exception):
    """A file that cannot be used: one sentence that names it and says what was found and expected."""


def length(path: Path) -> int:
    """The length of a 16 kHz, one-channel file in samples, from its header alone.

    Raises AudioProblem if the file is absent, empty, unreadable, of another rate or of several channels.
    A file that was cut short keeps its header: only `decode` notices that.
    """
    import soundfile

    _require_bytes(path)
    try:
        header = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioProblem(f"{path} cannot be read as flac ({_reason(error)})") from None
    if header.samplerate != SAMPLE_RATE:
        raise AudioProblem(f"{path} is sampled at {header.samplerate:,} Hz, {SAMPLE_RATE:,} Hz was expected")
    if header.channels != 1:
        raise AudioProblem(f"{path} has {header.channels} channels, one was expected")
    if not 0 < header.frames < _UNKNOWN_LENGTH:
        raise AudioProblem(f"{path} holds no audio: its header gives no number of samples")
    return int(header.frames)


def decode(path: Path) -> int:
    """Decode the whole file and return its length in samples.

    Raises AudioProblem where `length` does, if fewer samples come out than the header promises, and if one of
    them is no finite number.
    """
    import soundfile

    from downstream_runs.bridge.audio_files import FLOATS, require_finite

    promised = length(path)
    try:
        with soundfile.SoundFile(str(path)) as file:
            samples = file.read(dtype="float32" if file.subtype in FLOATS else "int16")
    except (soundfile.SoundFileError, OSError) as error:
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
    return promised


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
