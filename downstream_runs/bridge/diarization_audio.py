"""Lets s3prl's diarisation, which reads files by soundfile itself, refuse samples that are no numbers."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from downstream_runs.bridge.import_hooks import after_import


def install() -> None:
    """Correct the data set as soon as it is imported."""
    after_import("s3prl.downstream.diarization.dataset", correct)


def correct(module: ModuleType) -> None:
    """Check every stretch of audio that is read; UsageError names the file."""
    read = module.KaldiData._load_wav

    @functools.wraps(read)
    def read_finite(self: Any, wav_rxfilename: str, *limits: Any, **named: Any) -> Any:
        from downstream_runs.bridge.audio_files import require_finite

        samples, rate = read(self, wav_rxfilename, *limits, **named)
        require_finite(wav_rxfilename, samples)
        return samples, rate

    module.KaldiData._load_wav = read_finite
