"""A synthetic corpus in the layout of Fluent Speech Commands: about four minutes, made in seconds.

Eight voices give seven commands, each in two wordings. Numbers measured on it say that the path works and
nothing about an upstream; they carry the label "demo".
"""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Mapping
from pathlib import Path

from downstream_runs.corpora.demo import made
from downstream_runs.corpora.demo.speech import Line, Voice
from downstream_runs.corpora.fluent_commands import FOLDER, SLOTS, SPEAKER, TABLES

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

COMMANDS: Mapping[tuple[str, str, str], tuple[str, str]] = {
    ("activate", "lights", "kitchen"): ("kitchen lights on", "light up the kitchen"),
    ("deactivate", "lights", "bedroom"): ("bedroom lights off", "no light in the bedroom"),
    ("activate", "music", "none"): ("play a song", "music please"),
    ("deactivate", "music", "none"): ("stop the song", "no music now"),
    ("increase", "heat", "washroom"): ("heat the washroom", "washroom hotter"),
    ("decrease", "volume", "none"): ("too loud", "less volume"),
    ("bring", "shoes", "none"): ("fetch my shoes", "I need shoes"),
}
"""Slots and two wordings of each command."""

SPEAKERS: Mapping[str, Mapping[str, Voice]] = made.voices("fluent_commands")


def make(folder: Path) -> Path:
    """Make the corpus in `folder`/fluent_speech_commands_dataset and return that folder, see `made.make`."""
    return made.make(folder / FOLDER, {"version": VERSION}, "commands in fourteen wordings", _content)


def _content() -> made.Content:
    lines, tables = {}, {}
    for split, speakers in SPEAKERS.items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        # As in the corpus, the first column is a number without a name.
        writer.writerow(["", "path", SPEAKER, "transcription", *SLOTS])
        given = [(slots, wording) for slots, wordings in COMMANDS.items() for wording in wordings]
        everyone = [(speaker, *one) for speaker in speakers for one in given]
        for index, (speaker, slots, wording) in enumerate(everyone):
            name = uuid.uuid5(uuid.NAMESPACE_OID, f"demo {speaker} {wording}")
            path = f"wavs/speakers/{speaker}/{name}.wav"
            lines[path] = Line(wording, speakers[speaker])
            writer.writerow([index, path, speaker, wording, *slots])
        tables[TABLES[split]] = text.getvalue()
    return made.spoken(lines, tables)
