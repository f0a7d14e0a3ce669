"""Mixtures of speech and noise as LibriMix makes them (16 kHz, mode max), written or only read.

A mixture is the sum of its sources and of noise, each times its gain, and as long as the longest source; the
result is rounded to 16 bits by libsndfile. A folder that holds `mixtures.csv` has the mixtures that it lists,
each mixed when it is read.
Source: s3prl/LibriMix at d569d35c, scripts/create_librimix_from_metadata.py, whose samples these are.
"""

from __future__ import annotations

import csv
import functools
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from downstream_runs.audio import AudioProblem
from upstream_arm.common.files import csv_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 16_000
"""Samples a second of sources, noise and mixtures."""

FADE = RATE // 2 + 1
"""Samples in which the end of a noise that is too short fades into its next repetition."""

WAV_HEADER = 44
"""Bytes before the samples of a mixture, of 2 bytes each."""

TABLE = "mixtures.csv"
"""In a folder, the mixtures of it that are made when they are read."""

_COLUMNS = ("mixture_ID", "length", "noise_path", "noise_gain")


@dataclass(frozen=True)
class Part:
    """A file, and by what its samples are multiplied."""

    path: Path
    gain: float


@dataclass(frozen=True)
class Mixture:
    """Sources and noise, and the samples of the longest source."""

    sources: tuple[Part, ...]
    noise: Part
    samples: int

    @property
    def size(self) -> int:
        """Bytes of the wav file."""
        return WAV_HEADER + 2 * self.samples

    @property
    def parts(self) -> tuple[Part, ...]:
        """All files that are read."""
        return (*self.sources, self.noise)

    def mixed(self) -> NDArray[np.float32]:
        """The samples `[sample]`; AudioProblem for a file that cannot be used, or of another length."""
        import numpy as np

        waves = [_read(part.path) for part in self.sources]
        longest = max(map(len, waves))
        if longest != self.samples:
            named = " and ".join(str(part.path) for part in self.sources)
            raise AudioProblem(f"{named} have {longest:,} samples at most, {self.samples:,} were expected")
        # The order of the sums and the precision of each decide the last bit.
        mixture = np.zeros(longest, np.float32)
        for part, wave in zip(self.sources, waves, strict=True):
            mixture[: len(wave)] += wave * np.float32(part.gain)
        noise = lengthened(_read(self.noise.path, self.samples), self.samples, self.noise.path)
        mixture += noise * noise.dtype.type(self.noise.gain)
        return mixture

    def wav(self) -> bytes:
        """A wav file of 16-bit samples; AudioProblem as of `mixed`."""
        import soundfile

        file = io.BytesIO()
        soundfile.write(file, self.mixed(), RATE, format="WAV", subtype="PCM_16")
        return file.getvalue()


def _read(path: Path, most: int = -1) -> NDArray[np.float32]:
    """The first channel, `most` samples of it or all (-1)."""
    from downstream_runs.audio.files import open_audio, read_frames

    with open_audio(path) as audio:
        if audio.samplerate != RATE:
            raise AudioProblem(f"{path} is sampled at {audio.samplerate:,} Hz, {RATE:,} Hz was expected")
        return read_frames(audio, "float32", 0, most)[:, 0]


def lengthened(noise: NDArray[np.float32], samples: int, path: Path) -> NDArray[np.floating]:
    """Noise of `samples` samples: cut, or itself and its repetitions, each faded into the next (float64).

    AudioProblem, which names `path`, where it is too short to be faded.
    """
    import numpy as np

    if len(noise) >= samples:
        return noise[:samples]
    if len(noise) <= FADE:
        raise AudioProblem(f"{path} has {len(noise):,} samples, more than {FADE:,} were expected")
    rising = np.hanning(2 * FADE - 1)[:FADE]
    falling = rising[::-1]
    joined: NDArray[np.floating] = noise
    while len(joined) < samples:
        faded = joined[-FADE:] * falling + noise[:FADE] * rising
        joined = np.concatenate((joined[:-FADE], faded, noise[FADE:]))
    return joined[:samples]


def table(mixtures: Mapping[str, Mixture]) -> str:
    """`mixtures.csv` of a folder with mixtures of these names (without `.wav`)."""
    rows: list[Sequence[object]] = []
    for name, mixture in mixtures.items():
        sources = [value for part in mixture.sources for value in (part.path, part.gain)]
        rows.append((name, mixture.samples, mixture.noise.path, mixture.noise.gain, *sources))
    speakers = max((len(mixture.sources) for mixture in mixtures.values()), default=0)
    named = [f"source_{number}_{what}" for number in range(1, speakers + 1) for what in ("path", "gain")]
    return csv_text([(*_COLUMNS, *named), *rows])


def at(path: Path) -> Mixture | None:
    """The mixture that `path` stands for; None where no `mixtures.csv` in its folder lists it.

    AudioProblem for a table that cannot be used.
    """
    listed = path.parent / TABLE
    try:
        changed = os.stat(listed).st_mtime_ns
    except OSError:
        return None
    return _mixtures(listed, changed).get(path.stem)


def opened(path: Path) -> BinaryIO:
    """The bytes of an audio file, or of the mixture that `path` stands for; OSError where it is neither."""
    mixture = at(path)
    return path.open("rb") if mixture is None else io.BytesIO(mixture.wav())


@functools.lru_cache(maxsize=8)
def _mixtures(listed: Path, changed_ns: int) -> Mapping[str, Mixture]:
    """The table as it was at that time."""
    try:
        with listed.open(encoding="utf-8", newline="") as file:
            _, *rows = csv.reader(file)
        return {
            name: Mixture(_parts(sources), Part(Path(noise), float(gain)), int(samples))
            for name, samples, noise, gain, *sources in rows
        }
    except (OSError, ValueError) as error:
        raise AudioProblem(f"{listed} cannot be used ({error})") from None


def _parts(fields: Sequence[str]) -> tuple[Part, ...]:
    """Of pairs of path and gain."""
    return tuple(Part(Path(path), float(gain)) for path, gain in zip(fields[::2], fields[1::2], strict=True))
