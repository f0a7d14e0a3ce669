"""A synthetic Libri2Mix: about three minutes of two-voice mixtures with exactly known times, made in seconds.

Each mixture is one low and one high voice that speak at times of their own, partly at once, over faint noise.
It has the folders and metadata of a generated Libri2Mix and, beside them, the RTTM files of the sources, so
that the real preparation runs on it. Numbers measured on it carry the label "demo".
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from downstream_runs.corpora import wavs
from downstream_runs.corpora.demo import sentences
from downstream_runs.corpora.demo.speech import Line, Voice, synthesise
from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.corpora.librimix import MIXTURES, SPEECH
from downstream_runs.corpora.markers import DEMO, begin, finish, is_whole
from downstream_runs.corpora.outputs import writing
from upstream_arm.common.files import atomic_write_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

FRAME = SAMPLE_RATE // 100
"""Samples in 10 ms: all times of the corpus are whole numbers of it."""

SILENCE = 0.02
"""The part of a phrase's peak below which its first and last samples count as silence."""

NOISE = 0.003
"""The largest sample of the noise under a mixture."""

RECORDINGS: Mapping[str, int] = MappingProxyType({"train": 36, "dev": 10, "test": 10})

SPEAKERS: Mapping[str, tuple[Mapping[int, Voice], Mapping[int, Voice]]] = MappingProxyType(
    {
        "train": (
            {
                90101: Voice("en-us", "m1", pitch=35),
                90102: Voice("en-us", "m3", pitch=45, rate=145),
                90103: Voice("en-gb-x-rp", "m7", pitch=35),
            },
            {
                90104: Voice("en-us", "f2", pitch=60),
                90105: Voice("en-us", "f5", pitch=60, rate=145),
                90106: Voice("en-gb-x-rp", "f4", pitch=60),
            },
        ),
        "dev": (
            {90111: Voice("en-us", "m5", pitch=40)},
            {90112: Voice("en-us", "f1", pitch=60)},
        ),
        "test": (
            {90121: Voice("en-us", "m8", pitch=40)},
            {90122: Voice("en-us", "f3", pitch=60)},
        ),
    }
)
"""The low and the high voices of each split, numbered above LibriSpeech's own speakers."""

NOTICE = """This corpus is synthetic: a synthesiser (espeak-ng) said short sentences, two voices at once.

It has the layout of Libri2Mix (16 kHz, mode max, mix_both) and nothing of its speech: in every mixture one
voice is low and the other high, which is easier than two real speakers. It is made to try the whole path
from training to a result file. Numbers measured on it say nothing about an upstream and carry the label
"demo".
DEMO.json lists its files; where it is absent only half of the corpus was made, and making it again
completes it.
"""


@dataclass(frozen=True)
class _Source:
    """What one voice says in one mixture.

    name: SPEAKER-CHAPTER-NUMBER; the RTTM leaves the speaker out, so each has a chapter number of its own.
    pauses: before each line and after the last, in frames of 10 ms.
    """

    name: str
    lines: tuple[Line, ...]
    pauses: tuple[int, ...]
    gain: float


@dataclass(frozen=True)
class _Mixture:
    split: str
    sources: tuple[_Source, _Source]

    @property
    def name(self) -> str:
        return "_".join(source.name for source in self.sources)

    @property
    def file(self) -> str:
        return f"wav16k/max/{MIXTURES[self.split]}/mix_both/{self.name}.wav"


def make(root: Path, seed: int = 0) -> Path:
    """Make the corpus in `root`/Libri2Mix and return that folder.

    `seed` draws sentences, pauses, levels and noise. A corpus that is whole is left as it is; one that is
    half made, changed, or of another seed is made again. Raises UsageError if espeak-ng is not installed,
    if the folder holds something else, and if it cannot be written to.
    """
    target = root.expanduser().absolute() / "Libri2Mix"
    facts: dict[str, Any] = {"version": VERSION, "seed": seed, "recordings": dict(RECORDINGS)}
    if is_whole(target, DEMO, facts):
        return target
    plan = _plan(seed)
    # Spoken before anything is written: without the synthesiser no empty corpus is left behind.
    spoken = synthesise([line for mixture in plan for source in mixture.sources for line in source.lines])
    with writing(target):
        begin(target, DEMO, NOTICE)
        files, samples = _write(target, plan, spoken, seed)
        finish(target, DEMO, {**facts, "seconds": round(samples / SAMPLE_RATE, 3)}, files)
    return target


def _plan(seed: int) -> list[_Mixture]:
    """Every mixture; which of the two voices comes first in its name is drawn."""
    rng = random.Random(f"librimix {seed}")
    plan = []
    for split, voices in SPEAKERS.items():
        for number in range(RECORDINGS[split]):
            sources = []
            for group in voices:
                speaker = sorted(group)[number % len(group)]
                lines = tuple(Line(_sentence(rng), group[speaker]) for _ in range(rng.choice((1, 1, 2))))
                pauses = [
                    rng.randrange(5, 120),
                    *(rng.randrange(40, 90) for _ in lines[1:]),
                    rng.randrange(5, 40),
                ]
                sources.append(
                    _Source(
                        f"{speaker}-{speaker % 1000}-{number:04d}",
                        lines,
                        tuple(pauses),
                        rng.uniform(0.3, 0.45),
                    )
                )
            if rng.random() < 0.5:
                sources.reverse()
            plan.append(_Mixture(split, (sources[0], sources[1])))
    return plan


def _sentence(rng: random.Random) -> str:
    """Any sentence of the toy language; they come back, since words are not what is learnt here."""
    pattern = rng.choice(sentences.PATTERNS)
    return " ".join(
        rng.choice(sentences.SLOTS[word[1:-1]]) if "{" in word else word for word in pattern.split()
    )


def _write(
    root: Path, plan: Sequence[_Mixture], spoken: Sequence[NDArray[np.float32]], seed: int
) -> tuple[list[str], int]:
    """Write audio, metadata and RTTM; the paths of all files relative to `root`, and the samples in all."""
    waves = iter(spoken)
    tables = {
        f"wav16k/max/metadata/mixture_{name}_mix_both.csv": [
            "mixture_ID,mixture_path,source_1_path,source_2_path,noise_path,length"
        ]
        for name in MIXTURES.values()
    }
    turns: dict[str, list[str]] = {f"metadata/LibriSpeech/{name}.rttm": [] for name in SPEECH.values()}
    files = []
    total = 0
    for index, mixture in enumerate(plan):
        laid = []
        for source in mixture.sources:
            wave, times = _lay(source, [next(waves) for _ in source.lines])
            laid.append(wave)
            turns[f"metadata/LibriSpeech/{SPEECH[mixture.split]}.rttm"] += _rttm(source, times)
        samples = _mix(laid, random.Random(f"noise {seed} {index}"))
        wavs.write_wav(root / mixture.file, samples)
        files.append(mixture.file)
        total += len(samples)
        # The generator leaves the sources there too; nothing reads them, so they are not made.
        row = [mixture.name, f"Libri2Mix/{mixture.file}", "", "", "", str(len(samples))]
        tables[f"wav16k/max/metadata/mixture_{MIXTURES[mixture.split]}_mix_both.csv"].append(",".join(row))
    for name, lines in {**tables, **turns}.items():
        atomic_write_text(root / name, "".join(f"{line}\n" for line in lines))
    return [*files, *tables, *turns], total


def _lay(
    source: _Source, waves: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    """The source's samples, with start and length of each phrase in frames of 10 ms."""
    import numpy as np

    pieces: list[NDArray[np.float32]] = []
    times = []
    position = 0
    for pause, wave in zip(source.pauses, waves, strict=False):
        loud = np.flatnonzero(np.abs(wave) > SILENCE * np.abs(wave).max())
        phrase = source.gain * wave[loud[0] : loud[-1] + 1]
        frames = -(-len(phrase) // FRAME)
        pieces += [
            np.zeros(pause * FRAME, np.float32),
            phrase,
            np.zeros(frames * FRAME - len(phrase), np.float32),
        ]
        times.append((position + pause, frames))
        position += pause + frames
    return np.concatenate([*pieces, np.zeros(source.pauses[-1] * FRAME, np.float32)]), times


def _rttm(source: _Source, times: Sequence[tuple[int, int]]) -> list[str]:
    speaker, reading = source.name.split("-", 1)
    return [
        f"SPEAKER {reading} 1 {start / 100:.3f} {frames / 100:.3f} <NA> <NA> {speaker} <NA> <NA>"
        for start, frames in times
    ]


def _mix(waves: Sequence[NDArray[np.float32]], rng: random.Random) -> NDArray[np.float32]:
    """The sum of the sources, the shorter one filled up with silence, and noise."""
    import numpy as np

    mixed = np.zeros(max(len(wave) for wave in waves), np.float32)
    for wave in waves:
        mixed[: len(wave)] += wave
    # Bytes of Python's own generator are the same in every version; numpy's streams are not promised to be.
    noise = np.frombuffer(rng.randbytes(len(mixed)), np.uint8).astype(np.float32)
    return mixed + NOISE * (noise / 127.5 - 1)
