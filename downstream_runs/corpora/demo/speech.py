"""English speech from espeak-ng, for the demo corpora.

espeak-ng is free software under the GPL-3. It is an optional extra (`pip install 'superb-arm[demo]'`), comes
with the PyPI package espeakng-loader, runs in a process of its own, and is never part of this project.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from downstream_runs.corpora.audio import SAMPLE_RATE
from downstream_runs.corpora.demo.espeak_worker import SAMPLE_RATE as ESPEAK_RATE
from upstream_arm.common.errors import RunFailed, UsageError

PEAK = 0.9
"""The largest absolute sample of every utterance: full scale is 1, and some room is left for resampling."""

_TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Voice:
    """One speaker: an accent and a voice variant of espeak-ng, and how it speaks.

    `accent` is a language name such as `en-us`, `variant` a file of its `voices/!v`, such as `f3`.
    `pitch` and `pitch_range` go from 0 to 100 (50 is espeak-ng's default), `rate` is in words a minute.
    """

    accent: str
    variant: str
    pitch: int = 50
    pitch_range: int = 50
    rate: int = 135

    @property
    def name(self) -> str:
        """The voice as espeak-ng calls it."""
        return f"{self.accent}+{self.variant}"


@dataclass(frozen=True)
class Line:
    """A text and the voice that says it."""

    text: str
    voice: Voice


def synthesise(lines: Sequence[Line]) -> list[NDArray[np.float32]]:
    """Say each line: float32 of shape `[sample]` at 16 kHz, its largest absolute value `PEAK`.

    The audio of a line depends on nothing but that line, and is the same each time. Raises UsageError if
    espeak-ng is not installed or lacks a voice, RunFailed if it ends badly.
    """

    spoken: list[NDArray[np.float32]] = []
    for pcm in _speak(lines):
        wave = soxr.resample(np.frombuffer(pcm, dtype="<i2").astype(np.float32), ESPEAK_RATE, SAMPLE_RATE)
        peak = float(np.abs(wave).max())
        if peak == 0:
            raise RunFailed(f"espeak-ng said nothing for {lines[len(spoken)].text!r}: all samples are zero")
        spoken.append((wave * (PEAK / peak)).astype(np.float32))
    return spoken


def _speak(lines: Sequence[Line]) -> list[bytes]:
    library, data = _espeak()
    for voice in {line.voice for line in lines}:
        # espeak-ng itself falls back to the plain voice, and two speakers would be one.
        if not (data / "voices" / "!v" / voice.variant).is_file():
            raise UsageError(
                f"espeak-ng has no voice variant {voice.variant}: no such file in {data / 'voices' / '!v'}"
            )
    requests = [
        [line.text, line.voice.name, line.voice.pitch, line.voice.pitch_range, line.voice.rate]
        for line in lines
    ]
    job = json.dumps({"library": str(library), "data": str(data), "requests": requests})
    worker = Path(__file__).with_name("espeak_worker.py")
    # -I and -S: the worker needs the standard library only, and starts at once.
    command = [sys.executable, "-I", "-S", str(worker)]
    try:
        done = subprocess.run(
            command, input=job.encode(), capture_output=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise RunFailed(f"espeak-ng did not answer within {_TIMEOUT_SECONDS} seconds") from None
    spoken = done.stdout.splitlines()
    if done.returncode != 0 or len(spoken) != len(lines):
        words = done.stderr.decode(errors="replace").strip().splitlines()
        reason = words[-1] if words else f"exit status {done.returncode}"
        raise RunFailed(f"espeak-ng failed ({reason}): {len(spoken)} of {len(lines)} lines were spoken")
    return [base64.b64decode(line) for line in spoken]


def _espeak() -> tuple[Path, Path]:
    """espeak-ng's library and the folder of its voices."""
    try:
        import espeakng_loader
    except ImportError:
        raise UsageError(
            "the demo corpora need a speech synthesiser, and the package espeakng-loader is not installed; "
            "run: pip install 'superb-arm[demo]'"
        ) from None
    return Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
