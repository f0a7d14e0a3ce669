"""Audio files through libsndfile; a missing, damaged or truncated file gives one clear sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from downstream_runs.audio import AudioProblem

# A streamed WAV file declares one of these lengths because its writer did not know the real one.
_UNKNOWN_SIZES = frozenset({0, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF})

FLOATS = frozenset({"FLOAT", "DOUBLE"})
"""The encodings of libsndfile that can hold what is no number."""


class _Opened(soundfile.SoundFile):
    """A file that is open already, called by its path: soundfile would ask about that and open it again."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        super().__init__(descriptor, closefd=False)

    @property
    def name(self) -> str:
        return str(self._path)


@contextmanager
def open_audio(path: str | os.PathLike[str]) -> Iterator[soundfile.SoundFile]:
    """Open `path` for reading.

    AudioProblem when it is absent, empty, not audio, or shorter than its header says, and where it cannot be
    decoded.
    """
    file = Path(path)
    try:
        # Opened once, and never asked about by its name: each of these is a journey on network storage.
        with file.open("rb") as stream:
            descriptor = stream.fileno()
            size = os.fstat(descriptor).st_size
            if not size:
                raise AudioProblem(f"{file} is empty (0 bytes)")
            if lost := missing_bytes(stream, size):
                raise AudioProblem(
                    f"{file} is cut short: it ends {lost:,} bytes before the length in its header"
                )
            os.lseek(descriptor, 0, os.SEEK_SET)  # the stream itself would only move within its buffer
            with _Opened(file, descriptor) as audio:
                yield audio
    except OSError as error:
        raise AudioProblem(f"{file} cannot be read ({(error.strerror or str(error)).lower()})") from None
    except soundfile.SoundFileError as error:
        # Without the path, which the sentence names already.
        reason = str(error).rsplit(": ", 1)[-1].rstrip(".")
        raise AudioProblem(f"{file} is no audio, damaged or cut short ({reason})") from None


def read_frames(
    audio: soundfile.SoundFile, dtype: str, frame_offset: int = 0, num_frames: int = -1
) -> np.ndarray:
    """Frames `[time, channel]` from `frame_offset` on, `num_frames` of them or all that are left (-1)."""
    left = max(audio.frames - frame_offset, 0)
    wanted = left if num_frames == -1 else min(num_frames, left)
    audio.seek(min(frame_offset, audio.frames))
    data: np.ndarray = audio.read(wanted, dtype=dtype, always_2d=True)
    if len(data) != wanted:
        raise AudioProblem(
            f"{audio.name} is cut short: {len(data):,} of the {wanted:,} samples that its header promises "
            "could be decoded"
        )
    if audio.subtype in FLOATS:
        require_finite(audio.name, data)
    return data


def require_finite(file: str | os.PathLike[str], samples: np.ndarray) -> None:
    """AudioProblem if one of the samples of `file`, `[time]` or `[time, channel]`, is NaN or infinite.

    A head answers such audio with NaN, whose largest class is the first one: an error rate counts that.
    """
    if np.isfinite(samples).all():
        return
    bad = np.flatnonzero(~np.isfinite(samples.reshape(len(samples), -1)).all(axis=1))
    raise AudioProblem(
        f"{file}: {len(bad):,} of {len(samples):,} samples are no finite numbers (NaN or infinite; the first "
        f"is sample {bad[0]:,}), samples between -1 and 1 were expected"
    )


def missing_bytes(stream: BinaryIO, size: int) -> int:
    """How many bytes of its data chunk a WAV file of this size lacks; libsndfile reads it without a word."""
    head = stream.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return 0
    while len(chunk := stream.read(8)) == 8:
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return 0 if length in _UNKNOWN_SIZES else max(stream.tell() + length - size, 0)
        stream.seek(length + length % 2, os.SEEK_CUR)
    return 0
