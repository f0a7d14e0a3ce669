"""A small corpus of noise and a student that trains on it in seconds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_distillation

from upstream_arm.distillation.settings import Settings


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus root with train-clean-100 (twelve files) and dev-clean (four) of shaped noise."""
    root = tmp_path_factory.mktemp("noise") / "LibriSpeech"
    rng = np.random.default_rng(0)
    for split, count in (("train-clean-100", 12), ("dev-clean", 4)):
        folder = root / split / "1" / "1"
        folder.mkdir(parents=True)
        for index in range(count):
            samples = int(rng.integers(5_000, 9_000))
            tone = np.sin(np.arange(samples) * rng.uniform(0.02, 0.4, 4)[:, None]).sum(axis=0)
            soundfile.write(
                folder / f"1-1-{index:04d}.flac", 0.1 * tone + 0.05 * rng.normal(size=samples), 16_000
            )
    return root


@pytest.fixture
def settings(noise: Path) -> Callable[..., Settings]:
    """Settings of a run of six steps: batches of two, two of them behind each step."""

    return functools.partial(tiny_distillation.settings, noise.parent)
