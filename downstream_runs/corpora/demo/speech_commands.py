"""A synthetic corpus in the layout of Speech Commands v0.01 and its test set: four minutes, made in seconds.

Nine voices say the ten commands and six other words; noise is drawn. Numbers measured on it say that the path
works and nothing about an upstream; they carry the label "demo".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.corpora.demo import made
from downstream_runs.corpora.demo.speech import Line, Voice, synthesise
from downstream_runs.corpora.speech_commands import (
    COMMANDS,
    NOISE,
    SECOND,
    SILENCE,
    TEST_FOLDER,
    TRAIN_FOLDER,
    UNKNOWN,
    part,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OTHERS = ("bird", "dog", "five", "house", "marvin", "wow")

VOICES: Mapping[str, Sequence[Voice]] = made.voices("speech_commands")


def make(folder: Path) -> Path:
    """Make both folders of the corpus in `folder` and return that of the words."""
    root = _words(folder)
    _test(folder)
    return root


@made.corpus(TRAIN_FOLDER, "sixteen words", seed=made.SEED)
def _words() -> made.Content:
    plan: dict[str, Line | int] = {
        f"{word}/{speaker(split, number)}_nohash_0.wav": Line(word, voice)
        for split in ("train", "dev")
        for number, voice in enumerate(VOICES[split])
        for word in (*COMMANDS, *OTHERS)
    }
    return _content({**plan, f"{NOISE}/pink_noise.wav": 3, f"{NOISE}/white_noise.wav": 3}, 0)


@made.corpus(TEST_FOLDER, "sixteen words", seed=made.SEED)
def _test() -> made.Content:
    plan: dict[str, Line | int] = {}
    for number, voice in enumerate(VOICES["test"]):
        name = speaker("test", number)
        plan |= {f"{word}/{name}_nohash_0.wav": Line(word, voice) for word in COMMANDS}
        plan |= {f"{UNKNOWN}/{name}_nohash_{n}.wav": Line(word, voice) for n, word in enumerate(OTHERS[:3])}
    return _content({**plan, **{f"{SILENCE}/silence_{index}.wav": 1 for index in range(3)}}, 1)


def _content(plan: Mapping[str, Line | int], stream: int) -> made.Content:
    """Words, each in a second of its own, and noise of so many seconds; `stream` of random numbers."""
    spoken = iter(synthesise([line for line in plan.values() if isinstance(line, Line)]))
    waves = {
        name: one_second(next(spoken))
        if isinstance(line, Line)
        else _noise(name, line, (made.SEED, stream, index))
        for index, (name, line) in enumerate(plan.items())
    }
    return made.Content(waves, {"utterances": len(plan)})


def speaker(split: str, number: int) -> str:
    """An eight-digit speaker name that the rule of the corpus puts in `split`; nobody's in the real one."""
    wanted = {"train": "train", "dev": "dev", "test": None}[split]
    for attempt in range(1000):
        name = hashlib.sha256(f"demo {split} {number} {attempt}".encode()).hexdigest()[:8]
        if part(f"{name}_nohash_0.wav") == wanted:
            return name
    raise AssertionError("a tenth of all names is in each part")


def one_second(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """The word in the middle of one second of silence, cut where it is longer."""
    import numpy as np

    wave = wave[:SECOND]
    before = (SECOND - len(wave)) // 2
    return np.pad(wave, (before, SECOND - len(wave) - before))


def _noise(name: str, seconds: int, seed: tuple[int, ...]) -> NDArray[np.float64]:
    """White noise, or noise that falls by 3 dB an octave as pink noise does."""
    import numpy as np

    wave = np.random.default_rng(seed).normal(0, 1, seconds * SECOND)
    if "white" not in name:
        spectrum = np.fft.rfft(wave)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        wave = np.fft.irfft(spectrum, len(wave))
    return 0.1 * wave / np.abs(wave).max()
