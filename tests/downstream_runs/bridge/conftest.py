"""Shared pieces of the bridge's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from downstream_runs import bridge

WriteWave = Callable[..., Path]


@pytest.fixture
def write_wave(tmp_path: Path) -> WriteWave:
    """Write 16-bit samples `[time]` or `[time, channel]` as a file; its name decides the format."""

    def write(name: str, samples: np.ndarray, rate: int = 16000, subtype: str = "PCM_16") -> Path:
        path = tmp_path / name
        soundfile.write(path, samples, rate, subtype=subtype)
        return path

    return write


@pytest.fixture
def bridged() -> None:
    """Apply the bridge."""
    bridge.apply()
