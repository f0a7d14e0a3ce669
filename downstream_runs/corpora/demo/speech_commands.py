"""A synthetic corpus in the layout of Speech Commands v0.01 and its test set: four minutes, made in seconds.

Nine voices say the ten commands and six other words; noise is drawn. Numbers measured on it say that the path
works and nothing about an upstream; they carry the label "demo".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from downstream_runs.corpora import wavs
from downstream_runs.corpora.demo.speech import Line, Voice, synthesise
from downstream_runs.corpora.markers import DEMO, begin, finish, is_whole
from downstream_runs.corpora.outputs import writing
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

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

OTHERS = ("bird", "dog", "five", "house", "marvin", "wow")

VOICES: Mapping[str, tuple[Voice, ...]] = MappingProxyType(
    {
        "train": (
            Voice("en-us", "m1", pitch=40),
            Voice("en-us", "f2", pitch=55),
            Voice("en-us", "m3", pitch=55, rate=145),
            Voice("en-us", "f5", pitch=45, rate=125),
            Voice("en-gb-x-rp", "m7", pitch=45),
        ),
        "dev": (
            Voice("en-us", "m5", pitch=45, rate=130),
            Voice("en-us", "f1", pitch=50),
        ),
        "test": (
            Voice("en-us", "m8", pitch=50),
            Voice("en-us", "f3", pitch=55, rate=130),
        ),
    }
)

NOISES = ("pink_noise", "white_noise")
NOISE_SECONDS = 3
TEST_SILENCES = 3

NOTICE = """This corpus is synthetic: a speech synthesiser (espeak-ng) said sixteen words; noise was drawn.

It has the layout of {name} and nothing of its speech. It is made to try the whole path from training to a
result file. Numbers measured on it say nothing about an upstream and carry the label "demo".
DEMO.json lists its files; where it is absent only half of the corpus was made, and making it again
completes it.
"""


@dataclass(frozen=True)
class _File:
    """One file to be written, relative to its root; `line` None is noise, `seconds` long."""

    name: str
    line: Line | None
    seconds: int = 1


def make(root: Path, seed: int = 0) -> Path:
    """Make both folders of the corpus in `root` and return that of the words.

    `seed` draws the noise. A corpus that is whole is left as it is; one that is half made, changed, or of
    another seed is made again. Raises UsageError if espeak-ng is not installed, if a folder holds something
    else, and if it cannot be written to.
    """
    root = root.expanduser().absolute()
    facts: dict[str, Any] = {"version": VERSION, "seed": seed}
    plans = {TRAIN_FOLDER: list(_words()), TEST_FOLDER: list(_test())}
    if all(is_whole(root / name, DEMO, facts) for name in plans):
        return root / TRAIN_FOLDER
    lines = [file.line for plan in plans.values() for file in plan if file.line is not None]
    # Spoken before anything is written: without the synthesiser no empty corpus is left behind.
    spoken = iter(synthesise(lines))
    for number, (name, plan) in enumerate(plans.items()):
        target = root / name
        with writing(target):
            begin(target, DEMO, NOTICE.format(name=name))
            for index, file in enumerate(plan):
                wave = _noise(file, (seed, number, index)) if file.line is None else one_second(next(spoken))
                wavs.write_wav(target / file.name, wave)
            finish(target, DEMO, {**facts, "utterances": len(plan)}, [file.name for file in plan])
    return root / TRAIN_FOLDER


def speaker(split: str, number: int) -> str:
    """An eight-digit speaker name that the rule of the corpus puts in `split`; nobody's in the real one."""
    wanted = {"train": "train", "dev": "dev", "test": None}[split]
    for attempt in range(1000):
        name = hashlib.sha256(f"demo {split} {number} {attempt}".encode()).hexdigest()[:8]
        if part(f"{name}_nohash_0.wav") == wanted:
            return name
    raise AssertionError("a tenth of all names is in each part")


def _words() -> Iterator[_File]:
    for split in ("train", "dev"):
        for number, voice in enumerate(VOICES[split]):
            for word in (*COMMANDS, *OTHERS):
                yield _File(f"{word}/{speaker(split, number)}_nohash_0.wav", Line(word, voice))
    for name in NOISES:
        yield _File(f"{NOISE}/{name}.wav", None, NOISE_SECONDS)


def _test() -> Iterator[_File]:
    for number, voice in enumerate(VOICES["test"]):
        name = speaker("test", number)
        for word in COMMANDS:
            yield _File(f"{word}/{name}_nohash_0.wav", Line(word, voice))
        for index, word in enumerate(OTHERS[:3]):
            yield _File(f"{UNKNOWN}/{name}_nohash_{index}.wav", Line(word, voice))
    for index in range(TEST_SILENCES):
        yield _File(f"{SILENCE}/silence_{index}.wav", None)


def one_second(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """The word in the middle of one second of silence, cut where it is longer."""
    import numpy as np

    wave = wave[:SECOND]
    before = (SECOND - len(wave)) // 2
    return np.pad(wave, (before, SECOND - len(wave) - before))


def _noise(file: _File, seed: tuple[int, ...]) -> NDArray[np.float64]:
    """White noise, or noise that falls by 3 dB an octave as pink noise does."""
    import numpy as np

    wave = np.random.default_rng(seed).normal(0, 1, file.seconds * SECOND)
    if "white" not in file.name:
        spectrum = np.fft.rfft(wave)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        wave = np.fft.irfft(spectrum, len(wave))
    return 0.1 * wave / np.abs(wave).max()
