"""A synthetic corpus in the layout of IEMOCAP: about three minutes, made in seconds.

Ten voices, two a session, say the same sentences in four ways: emotions differ by pitch, its range, rate and
loudness, and by nothing that is said. Numbers measured on it say that the path works and nothing about an
upstream; they carry the label "demo".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.corpora.demo import made
from downstream_runs.corpora.demo.speech import PEAK, Line, Voice
from downstream_runs.corpora.iemocap import AUDIO_FOLDER, FOLDERS, LABEL_FOLDER

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

VOICES: Mapping[int, Sequence[Voice]] = made.voices("iemocap")


@dataclass(frozen=True)
class Prosody:
    """How an emotion is spoken: added to pitch, range and rate; its largest sample of a full scale of 1."""

    pitch: int
    pitch_range: int
    rate: int
    peak: float


PROSODIES: Mapping[str, Prosody] = {
    name: Prosody(**prosody) for name, prosody in made.data("iemocap")["prosodies"].items()
}
DIALOGUES = ("impro01", "impro02", "script01_1")
"""One a sentence."""


def make(folder: Path) -> Path:
    """Make the corpus in `folder`/IEMOCAP_full_release and return that folder, see `made.make`."""
    return made.make(folder / FOLDERS[0], {"version": VERSION}, "three sentences in six ways", _content)


def _content() -> made.Content:
    lines, gains, texts = {}, {}, {}
    for session, voices in VOICES.items():
        for part, text in zip(DIALOGUES, made.data("iemocap")["sentences"], strict=True):
            dialogue, turns = f"Ses0{session}F_{part}", {}
            for gender, voice in zip("FM", voices, strict=True):
                for number, (emotion, prosody) in enumerate(PROSODIES.items()):
                    name = f"{dialogue}_{gender}{number:03d}"
                    path = f"Session{session}/{AUDIO_FOLDER}/{dialogue}/{name}.wav"
                    lines[path] = Line(text, _spoken(voice, prosody))
                    gains[path], turns[name] = prosody.peak / PEAK, emotion
            texts[f"Session{session}/{LABEL_FOLDER}/{dialogue}.txt"] = _labels(turns)
    found = made.spoken(lines, texts)
    return dataclasses.replace(found, waves={name: wave * gains[name] for name, wave in found.waves.items()})


def _spoken(voice: Voice, prosody: Prosody) -> Voice:
    return dataclasses.replace(
        voice,
        pitch=min(max(voice.pitch + prosody.pitch, 0), 99),
        pitch_range=min(max(voice.pitch_range + prosody.pitch_range, 0), 99),
        rate=voice.rate + prosody.rate,
    )


def _labels(turns: Mapping[str, str]) -> str:
    """A file of EmoEvaluation: utterances with their emotions and, below each, what an annotator heard."""
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    for number, (name, emotion) in enumerate(turns.items()):
        lines.append(
            f"[{2.0 * number:.4f} - {2.0 * number + 1.5:.4f}]\t{name}\t{emotion}\t[2.5000, 2.5000, 2.5000]"
        )
        lines += ["C-E1:\tNeutral state;\t()", ""]
    return "\n".join(lines) + "\n"
