"""A synthetic corpus in LibriSpeech's layout: about three minutes of speech, made in seconds.

Six speakers in train-clean-100, two others each in dev-clean and test-clean, and forty words. Numbers
measured on it say that the path works and nothing about an upstream; they carry the label "demo".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.corpora.demo import made, sentences
from downstream_runs.corpora.demo.speech import Line, Voice
from downstream_runs.corpora.transcripts import format_line

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

CHAPTER = 1
"""Each speaker has one chapter."""

SPEAKERS: Mapping[str, Mapping[int, Voice]] = made.voices("librispeech")

UTTERANCES_A_SPEAKER: Mapping[str, int] = {"train-clean-100": 10, "dev-clean": 6, "test-clean": 6}


def make(folder: Path, seed: int = 0) -> Path:
    """Make the corpus in `folder`/LibriSpeech and return that folder, see `made.make`; `seed` draws the
    sentences."""
    facts = {"version": VERSION, "seed": seed}
    return made.make(folder / "LibriSpeech", facts, "sentences of about forty words", lambda: _content(seed))


def _content(seed: int) -> made.Content:
    """No sentence is said twice, so dev and test hold new ones."""
    total = sum(len(speakers) * UTTERANCES_A_SPEAKER[split] for split, speakers in SPEAKERS.items())
    drawn = iter(sentences.draw(total, seed))
    lines, transcripts = {}, {}
    for split, speakers in SPEAKERS.items():
        for speaker, voice in speakers.items():
            chapter = f"{split}/{speaker}/{CHAPTER}/{speaker}-{CHAPTER}"
            said = {f"{number:04d}": next(drawn) for number in range(UTTERANCES_A_SPEAKER[split])}
            lines.update({f"{chapter}-{number}.flac": Line(text, voice) for number, text in said.items()})
            transcripts[f"{chapter}.trans.txt"] = "".join(
                format_line(f"{speaker}-{CHAPTER}-{number}", text) for number, text in said.items()
            )
    return made.spoken(lines, transcripts)
