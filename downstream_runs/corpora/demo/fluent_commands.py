"""A synthetic corpus in the layout of Fluent Speech Commands: about four minutes, made in seconds.

Eight voices give seven commands, each in two wordings. Numbers measured on it say that the path works and
nothing about an upstream; they carry the label "demo".
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

from downstream_runs.corpora.demo import made
from downstream_runs.corpora.demo.speech import Line, Voice
from downstream_runs.corpora.fluent_commands import FOLDER, SLOTS, SPEAKER, TABLES
from upstream_arm.common.files import csv_text

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

SPEAKERS: Mapping[str, Mapping[str, Voice]] = made.voices("fluent_commands")


def make(folder: Path) -> Path:
    """Make the corpus in `folder`/fluent_speech_commands_dataset and return that folder, see `made.make`."""
    return made.make(folder / FOLDER, {"version": VERSION}, "commands in fourteen wordings", _content)


def _content() -> made.Content:
    lines, tables = {}, {}
    commands = made.data("fluent_commands")["commands"]
    given = [(command["slots"], wording) for command in commands for wording in command["wordings"]]
    for split, speakers in SPEAKERS.items():
        # As in the corpus, the first column is a number without a name.
        rows: list[tuple[object, ...]] = [("", "path", SPEAKER, "transcription", *SLOTS)]
        for speaker, voice in speakers.items():
            for slots, wording in given:
                name = uuid.uuid5(uuid.NAMESPACE_OID, f"demo {speaker} {wording}")
                path = f"wavs/speakers/{speaker}/{name}.wav"
                lines[path] = Line(wording, voice)
                rows.append((len(rows) - 1, path, speaker, wording, *slots))
        tables[TABLES[split]] = csv_text(rows)
    return made.spoken(lines, tables)
