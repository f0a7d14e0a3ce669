"""A synthetic Libri2Mix: about three minutes of two-voice mixtures with exactly known times, made in seconds.

Each mixture is one low and one high voice that speak at times of their own, partly at once, over faint noise.
It has the folders and metadata of a generated Libri2Mix and, beside them, the RTTM files of the sources, so
that the real preparation runs on it. Two such voices are easier than two real speakers. Numbers measured on
it carry the label "demo".
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.corpora.audio import SAMPLE_RATE
from downstream_runs.corpora.demo import made, sentences
from downstream_runs.corpora.demo.speech import Line, Voice, synthesise
from downstream_runs.corpora.librimix import SPLITS

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

RECORDINGS: Mapping[str, int] = {"train": 36, "dev": 10, "test": 10}

SPEAKERS: Mapping[str, Mapping[str, Mapping[int, Voice]]] = made.voices("librimix")
"""The low and the high voices of each split."""


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
        return f"wav16k/max/{SPLITS[self.split].mixtures}/mix_both/{self.name}.wav"


def make(folder: Path, seed: int = 0) -> Path:
    """Make the corpus in `folder`/Libri2Mix and return that folder, see `made.make`; `seed` draws sentences,
    pauses, levels and noise."""
    facts = {"version": VERSION, "seed": seed, "recordings": RECORDINGS}
    return made.make(
        folder / "Libri2Mix", facts, "short sentences, two voices at once", lambda: _content(seed)
    )


def _plan(seed: int) -> list[_Mixture]:
    """Every mixture; which of the two voices comes first in its name is drawn.

    Sentences come back, since words are not what is learnt here.
    """
    rng = random.Random(f"librimix {seed}")
    plan = []
    for split, voices in SPEAKERS.items():
        for number in range(RECORDINGS[split]):
            sources = []
            for group in voices.values():
                speaker = sorted(group)[number % len(group)]
                texts = [
                    sentences.fill(rng.choice(sentences.PATTERNS), rng) for _ in range(rng.choice((1, 1, 2)))
                ]
                pauses = [rng.randrange(5, 120), *(rng.randrange(40, 90) for _ in texts[1:])]
                pauses.append(rng.randrange(5, 40))
                sources.append(
                    _Source(
                        f"{speaker}-{speaker % 1000}-{number:04d}",
                        tuple(Line(text, group[speaker]) for text in texts),
                        tuple(pauses),
                        rng.uniform(0.3, 0.45),
                    )
                )
            if rng.random() < 0.5:
                sources.reverse()
            plan.append(_Mixture(split, (sources[0], sources[1])))
    return plan


def _content(seed: int) -> made.Content:
    """Audio, metadata and RTTM."""
    plan = _plan(seed)
    spoken = iter(synthesise([line for one in plan for source in one.sources for line in source.lines]))
    waves: dict[str, NDArray[np.float32]] = {}
    header = "mixture_ID,mixture_path,source_1_path,source_2_path,noise_path,length"
    tables = {split: [header] for split in SPLITS}
    turns: dict[str, list[str]] = {split: [] for split in SPLITS}
    for index, mixture in enumerate(plan):
        laid = []
        for source in mixture.sources:
            wave, times = _lay(source, [next(spoken) for _ in source.lines])
            laid.append(wave)
            turns[mixture.split] += _rttm(source, times)
        waves[mixture.file] = _mix(laid, random.Random(f"noise {seed} {index}"))
        # The generator leaves the sources there too; nothing reads them, so they are not made.
        row = [mixture.name, f"Libri2Mix/{mixture.file}", "", "", "", str(len(waves[mixture.file]))]
        tables[mixture.split].append(",".join(row))
    texts = {}
    for split, names in SPLITS.items():
        texts[f"wav16k/max/metadata/mixture_{names.mixtures}_mix_both.csv"] = tables[split]
        texts[f"metadata/LibriSpeech/{names.speech}.rttm"] = turns[split]
    written = {name: "".join(f"{line}\n" for line in lines) for name, lines in texts.items()}
    return made.Content(waves, {"seconds": made.seconds(waves.values())}, written)


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
