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

import numpy as np
from numpy.typing import NDArray

from downstream_runs.corpora.audio import SAMPLE_RATE
from downstream_runs.corpora.demo import made
from downstream_runs.corpora.demo.speech import Line, Voice, synthesise
from downstream_runs.corpora.librimix import SPLITS

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


@made.corpus("Libri2Mix", "short sentences, two voices at once", seed=made.SEED, recordings=RECORDINGS)
def make() -> made.Content:
    """Audio, metadata and RTTM."""
    plan = _plan()
    lines = [line for _, sources in plan for source in sources for line in source.lines]
    spoken = iter(synthesise(lines))
    waves: dict[str, NDArray[np.float32]] = {}
    header = "mixture_ID,mixture_path,source_1_path,source_2_path,noise_path,length\n"
    tables, turns = dict.fromkeys(SPLITS, header), dict.fromkeys(SPLITS, "")
    for index, (split, sources) in enumerate(plan):
        laid = []
        for source in sources:
            wave, lines_of_source = _lay(source, [next(spoken) for _ in source.lines])
            laid.append(wave)
            turns[split] += lines_of_source
        name = "_".join(source.name for source in sources)
        file = f"wav16k/max/{SPLITS[split].mixtures}/mix_both/{name}.wav"
        waves[file] = _mix(laid, random.Random(f"noise {made.SEED} {index}"))
        # The generator leaves the sources there too; nothing reads them, so they are not made.
        tables[split] += f"{name},Libri2Mix/{file},,,,{len(waves[file])}\n"
    texts = {}
    for split, names in SPLITS.items():
        texts[f"wav16k/max/metadata/mixture_{names.mixtures}_mix_both.csv"] = tables[split]
        texts[f"metadata/LibriSpeech/{names.speech}.rttm"] = turns[split]
    return made.Content(waves, {"seconds": made.seconds(waves.values())}, texts)


def _plan() -> list[tuple[str, list[_Source]]]:
    """Split and both sources of every mixture; which of the two voices comes first in its name is drawn.

    Sentences come back, since words are not what is learnt here.
    """
    rng = random.Random(f"librimix {made.SEED}")
    patterns = made.data()["sentences"]["patterns"]
    plan = []
    for split, voices in SPEAKERS.items():
        for number in range(RECORDINGS[split]):
            sources = []
            for group in voices.values():
                speaker = sorted(group)[number % len(group)]
                texts = [made.filled(rng.choice(patterns), rng) for _ in range(rng.choice((1, 1, 2)))]
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
            plan.append((split, sources))
    return plan


def _lay(source: _Source, waves: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], str]:
    """The source's samples, and an RTTM line for each phrase."""

    speaker, reading = source.name.split("-", 1)
    pieces: list[NDArray[np.float32]] = []
    lines, position = "", 0
    for pause, wave in zip(source.pauses, waves, strict=False):
        loud = np.flatnonzero(np.abs(wave) > SILENCE * np.abs(wave).max())
        phrase = source.gain * wave[loud[0] : loud[-1] + 1]
        frames = -(-len(phrase) // FRAME)
        pieces.append(np.pad(phrase, (pause * FRAME, frames * FRAME - len(phrase))))
        start = (position + pause) / 100
        lines += f"SPEAKER {reading} 1 {start:.3f} {frames / 100:.3f} <NA> <NA> {speaker} <NA> <NA>\n"
        position += pause + frames
    return np.concatenate([*pieces, np.zeros(source.pauses[-1] * FRAME, np.float32)]), lines


def _mix(waves: Sequence[NDArray[np.float32]], rng: random.Random) -> NDArray[np.float32]:
    """The sum of the sources, the shorter one filled up with silence, and noise."""

    mixed = np.zeros(max(len(wave) for wave in waves), np.float32)
    for wave in waves:
        mixed[: len(wave)] += wave
    # Bytes of Python's own generator are the same in every version; numpy's streams are not promised to be.
    noise = np.frombuffer(rng.randbytes(len(mixed)), np.uint8).astype(np.float32)
    return mixed + NOISE * (noise / 127.5 - 1)
