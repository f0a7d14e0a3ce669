"""A synthetic corpus in the layout of IEMOCAP: about three minutes, made in seconds.

Ten voices, two a session, say the same sentences in four ways: emotions differ by pitch, its range, rate and
loudness, and by nothing that is said. Numbers measured on it say that the path works and nothing about an
upstream; they carry the label "demo".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from downstream_runs.corpora import wavs
from downstream_runs.corpora.demo.speech import PEAK, Line, Voice, synthesise
from downstream_runs.corpora.iemocap import AUDIO_FOLDER, FOLDERS, LABEL_FOLDER
from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.corpora.markers import DEMO, begin, finish, is_whole
from downstream_runs.corpora.outputs import writing
from upstream_arm.common.files import atomic_write_text

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

SENTENCES = ("I saw the letter today", "she went home again", "we are leaving now")

VOICES: Mapping[int, tuple[Voice, Voice]] = MappingProxyType(
    {
        1: (Voice("en-us", "f1", pitch=50, rate=165), Voice("en-us", "m1", pitch=45, rate=165)),
        2: (Voice("en-us", "f2", pitch=50, rate=165), Voice("en-us", "m3", pitch=50, rate=165)),
        3: (Voice("en-us", "f3", pitch=50, rate=165), Voice("en-us", "m5", pitch=45, rate=165)),
        4: (Voice("en-us", "f4", pitch=50, rate=165), Voice("en-us", "m7", pitch=45, rate=165)),
        5: (Voice("en-us", "f5", pitch=45, rate=165), Voice("en-us", "m8", pitch=50, rate=165)),
    }
)
"""The woman's and the man's voice of each session."""


@dataclass(frozen=True)
class Prosody:
    """How an emotion is spoken: added to pitch, range and rate; its largest sample of a full scale of 1."""

    pitch: int
    pitch_range: int
    rate: int
    peak: float


PROSODIES: Mapping[str, Prosody] = MappingProxyType(
    {
        "neu": Prosody(pitch=0, pitch_range=-20, rate=0, peak=0.35),
        "hap": Prosody(pitch=25, pitch_range=40, rate=20, peak=0.6),
        "exc": Prosody(pitch=30, pitch_range=45, rate=30, peak=0.65),
        "ang": Prosody(pitch=-5, pitch_range=20, rate=45, peak=0.95),
        "sad": Prosody(pitch=-20, pitch_range=-45, rate=-45, peak=0.1),
        "fru": Prosody(pitch=5, pitch_range=10, rate=15, peak=0.7),
    }
)
"""IEMOCAP's labels; `exc` counts as happy, and `fru` is there to be left out."""

DIALOGUES = ("impro01", "impro02", "script01_1")
"""One a sentence; the sentence says nothing about the emotion."""

NOTICE = """This corpus is synthetic: a speech synthesiser (espeak-ng) said three sentences in six ways.

It has the layout of IEMOCAP and nothing of its speech: emotions are settings of pitch, range, rate and
loudness. It is made to try the whole path from training to a result file. Numbers measured on it say nothing
about an upstream and carry the label "demo". DEMO.json lists its files; where it is absent only half of the
corpus was made, and making it again completes it.
"""


@dataclass(frozen=True)
class _Turn:
    session: int
    dialogue: str
    name: str
    emotion: str
    line: Line


def make(root: Path) -> Path:
    """Make the corpus in `root`/IEMOCAP_full_release and return that folder.

    A corpus that is whole is left as it is; one that is half made or changed is made again. Raises UsageError
    if espeak-ng is not installed, if the folder holds something else, and if it cannot be written to.
    """
    target = root.expanduser().absolute() / FOLDERS[0]
    facts: dict[str, Any] = {"version": VERSION}
    if is_whole(target, DEMO, facts):
        return target
    plan = list(_plan())
    # Spoken before anything is written: without the synthesiser no empty corpus is left behind.
    waves = synthesise([turn.line for turn in plan])
    with writing(target):
        begin(target, DEMO, NOTICE)
        files = []
        for turn, wave in zip(plan, waves, strict=True):
            name = f"Session{turn.session}/{AUDIO_FOLDER}/{turn.dialogue}/{turn.name}.wav"
            wavs.write_wav(target / name, wave * (PROSODIES[turn.emotion].peak / PEAK))
            files.append(name)
        for session, dialogue in sorted({(turn.session, turn.dialogue) for turn in plan}):
            name = f"Session{session}/{LABEL_FOLDER}/{dialogue}.txt"
            atomic_write_text(target / name, _labels([turn for turn in plan if turn.dialogue == dialogue]))
            files.append(name)
        seconds = round(sum(len(wave) for wave in waves) / SAMPLE_RATE, 3)
        finish(target, DEMO, {**facts, "utterances": len(plan), "seconds": seconds}, files)
    return target


def _plan() -> Iterator[_Turn]:
    for session, voices in VOICES.items():
        for part, text in zip(DIALOGUES, SENTENCES, strict=True):
            dialogue = f"Ses0{session}F_{part}"
            for gender, voice in zip("FM", voices, strict=True):
                for number, (emotion, prosody) in enumerate(PROSODIES.items()):
                    spoken = dataclasses.replace(
                        voice,
                        pitch=min(max(voice.pitch + prosody.pitch, 0), 99),
                        pitch_range=min(max(voice.pitch_range + prosody.pitch_range, 0), 99),
                        rate=voice.rate + prosody.rate,
                    )
                    name = f"{dialogue}_{gender}{number:03d}"
                    yield _Turn(session, dialogue, name, emotion, Line(text, spoken))


def _labels(turns: list[_Turn]) -> str:
    """A file of EmoEvaluation: utterances and, below each, what an annotator heard."""
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    for number, turn in enumerate(turns):
        lines.append(
            f"[{2.0 * number:.4f} - {2.0 * number + 1.5:.4f}]\t{turn.name}\t{turn.emotion}"
            "\t[2.5000, 2.5000, 2.5000]"
        )
        lines += ["C-E1:\tNeutral state;\t()", ""]
    return "\n".join(lines) + "\n"
