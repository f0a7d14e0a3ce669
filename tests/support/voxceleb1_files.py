"""A tiny corpus in VoxCeleb1's layout: every speaker is a buzz of its own pitch and colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from downstream_runs.corpora import markers

DEV = ("id10008", "id10025", "id10101", "id10102")
TEST = ("id10270", "id10271", "id10272")
CLIPS = 4
SPLITS = "1123"
SECONDS = 2.2


def name(speaker: str, clip: int) -> str:
    return f"{speaker}/video-{clip}/{clip:05d}.wav"


def make(root: Path, places: tuple[str, str] = ("dev/wav", "test/wav"), seconds: float = SECONDS) -> Path:
    """Write it to `root`/VoxCeleb1, marked as a demo corpus, dev and test speakers in `places`."""
    root = root / "VoxCeleb1"
    markers.begin(root, markers.DEMO, "buzzes for tests\n")
    random = np.random.default_rng(5)
    files, identification = [], []
    for number, speaker in enumerate((*DEV, *TEST)):
        place = places[speaker in TEST]
        for clip in range(1, CLIPS + 1):
            file = f"{place}/{name(speaker, clip)}"
            (root / file).parent.mkdir(parents=True)
            soundfile.write(
                root / file, _buzz(number, seconds + 0.02 * clip, random), 16000, subtype="PCM_16"
            )
            files.append(file)
            identification.append(f"{SPLITS[clip - 1]} {name(speaker, clip)}\n")
    (root / "iden_split.txt").write_text("".join(identification))
    (root / "veri_test.txt").write_text("".join(f"{line}\n" for line in trials()))
    markers.finish(root, markers.DEMO, {}, [*files, "iden_split.txt", "veri_test.txt"])
    return root


def trials() -> list[str]:
    """Every pair of the first three clips of the test speakers."""
    names = [name(speaker, clip) for speaker in TEST for clip in (1, 2, 3)]
    return [f"{int(one[:7] == two[:7])} {one} {two}" for i, one in enumerate(names) for two in names[i + 1 :]]


def _buzz(number: int, seconds: float, random: np.random.Generator) -> np.ndarray:
    """A pulse train with a resonance; never silent for a tenth of a second, so nothing is trimmed."""
    time = np.arange(int(16000 * seconds)) / 16000
    pitch = 90 + 25 * number
    tones = sum(
        np.exp(-(((harmonic * pitch - 500 - 300 * number) / 300) ** 2))
        * np.sin(2 * np.pi * harmonic * pitch * time)
        for harmonic in range(1, 30)
    )
    wave = tones + 0.02 * random.normal(size=len(time))
    return 0.5 * wave / np.abs(wave).max()
