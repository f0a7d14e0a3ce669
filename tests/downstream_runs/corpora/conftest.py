"""A tiny corpus in LibriSpeech's layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

MakeSplit = Callable[..., list[Path]]


@pytest.fixture
def make_split() -> MakeSplit:
    """Write one chapter, speaker 11 chapter 22, of noise with the given lengths; return the flac files."""

    def make(
        root: Path, split: str, lengths: Sequence[int] = (800, 2400, 1600), speaker: int = 11
    ) -> list[Path]:
        folder = root / split / str(speaker) / "22"
        folder.mkdir(parents=True)
        paths = []
        for number, samples in enumerate(lengths):
            path = folder / f"{speaker}-22-{number:04d}.flac"
            noise = np.random.default_rng(number).integers(-3000, 3000, samples, dtype=np.int16)
            soundfile.write(str(path), noise, 16_000, format="FLAC", subtype="PCM_16")
            paths.append(path)
        lines = [f"{path.stem} IT'S WORD {chr(65 + number)}\n" for number, path in enumerate(paths)]
        (folder / f"{speaker}-22.trans.txt").write_text("".join(lines))
        return paths

    return make
