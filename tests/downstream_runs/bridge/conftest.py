"""Shared pieces of the bridge's tests."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
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
def bridged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Apply the bridge with our upstreams replaced by a stub; returns the stub's calls."""
    calls: list[str] = []
    stub = types.ModuleType("upstream_arm.s3prl_hub")
    vars(stub)["register"] = lambda: calls.append("register")
    import upstream_arm

    monkeypatch.setitem(sys.modules, "upstream_arm.s3prl_hub", stub)
    monkeypatch.setattr(upstream_arm, "s3prl_hub", stub, raising=False)
    bridge.apply.cache_clear()
    bridge.apply()
    yield calls
    bridge.apply.cache_clear()
