"""Noise that is added to the recordings of a test.

Which file of a folder, and from which sample on, is drawn by a hash of the recording's own samples: a
recording has the same noise for every upstream, head and seed, in whatever order it is read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from downstream_runs.audio.files import open_audio, read_frames
from downstream_runs.core.corpus import Problem
from downstream_runs.core.run import Noise
from downstream_runs.corpora import audio, checks, folders, texts
from upstream_arm.common.errors import UsageError
from upstream_arm.common.stages import stage

Samples = NDArray[np.float32]

TRIES = 32
"""Draws of a stretch of noise that is no silence."""


def in_folder(folder: Path, snr: float) -> Noise:
    """The noise of a folder's files; UsageError where there is none, or one is not 16 kHz and one channel."""
    place = folders.place(folder)
    return Noise(snr, place, _sha256(_files(place)))


def _files(folder: Path) -> dict[Path, int]:
    """The audio below a folder in the order of its names, and how many samples each has."""
    if not folder.is_dir():
        raise UsageError(f"--noise-dir {folder} is no folder; name one with audio files of noise")
    found = [audio.AudioFile.at(path, root=folder) for path in sorted(folders.walk(folder, folders.AUDIO))]
    with stage("reading the headers of the noise"):
        lengths = {
            one.path: number for one, number in audio.in_threads(audio.length, found, "headers of the noise")
        }
    checks.require_none(
        [number for number in lengths.values() if isinstance(number, Problem)],
        "name with --noise-dir a folder of files of 16 kHz and one channel",
    )
    if not lengths:
        raise UsageError(f"--noise-dir {folder} has no audio; name a folder with {', '.join(folders.AUDIO)}")
    return {path: int(number) for path, number in lengths.items()}


def _sha256(files: dict[Path, int]) -> str:
    """Over lengths, and over contents as far as those of a corpus are looked at (`audio.sampled`)."""
    lines = (f"{path.name}\t{length}\n" for path, length in files.items())
    return texts.digest([*lines, audio.sample_hash(list(files))])


class Mixer:
    """Adds noise to waveforms; UsageError where the folder no longer holds what it held."""

    def __init__(self, noise: Noise) -> None:
        self._noise, self._files = noise, _files(noise.folder)
        if _sha256(self._files) != noise.sha256:
            raise UsageError(
                f"{noise.folder} is not the noise that it was; restore it, or start anew with what there is"
            )

    def __call__(self, wave: Any) -> Samples:
        """A waveform `[sample]` with noise, the powers of both over all of it in the ratio; silence as it is.

        UsageError where the noise is silence wherever it is drawn.
        """
        samples: Samples = np.asarray(wave, dtype=np.float32)
        power = float(np.mean(np.square(samples, dtype=np.float64)))
        if power == 0:
            return samples
        content = hashlib.sha256(np.ascontiguousarray(samples).data).digest()
        for number in range(TRIES):
            noise = self._drawn(content + number.to_bytes(4, "big"), len(samples))
            loud = float(np.mean(np.square(noise, dtype=np.float64)))
            if loud > 0:
                scale = (power / loud / 10 ** (self._noise.snr / 10)) ** 0.5
                mixed: Samples = (samples + scale * noise).astype(np.float32)
                return mixed
        raise UsageError(f"{self._noise.folder} is silent in {TRIES} places that were drawn; use other noise")

    def _drawn(self, content: bytes, samples: int) -> NDArray[np.float64]:
        """So many samples of noise: from a place of a file on, and from its beginning again at its end."""
        drawn = hashlib.sha256(content).digest()
        files = list(self._files.items())
        path, length = files[int.from_bytes(drawn[:8], "big") % len(files)]
        start = int.from_bytes(drawn[8:16], "big") % length
        with open_audio(path) as file:
            first = read_frames(file, "float64", start, samples)[:, 0]
            if len(first) == samples:
                return np.asarray(first)
            whole = read_frames(file, "float64")[:, 0]
        return np.resize(np.concatenate([whole[start:], whole[:start]]), samples)
