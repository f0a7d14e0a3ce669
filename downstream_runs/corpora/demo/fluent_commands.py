"""A synthetic corpus in the layout of Fluent Speech Commands: about four minutes, made in seconds.

Eight voices give seven commands, each in two wordings. Numbers measured on it say that the path works and
nothing about an upstream; they carry the label "demo".
"""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from downstream_runs.corpora import wavs
from downstream_runs.corpora.demo.speech import Line, Voice, synthesise
from downstream_runs.corpora.fluent_commands import FOLDER, SLOTS, TABLES
from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.corpora.markers import DEMO, begin, finish, is_whole
from downstream_runs.corpora.outputs import writing
from upstream_arm.common.files import atomic_write_text

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

COMMANDS: Mapping[tuple[str, str, str], tuple[str, str]] = MappingProxyType(
    {
        ("activate", "lights", "kitchen"): ("kitchen lights on", "light up the kitchen"),
        ("deactivate", "lights", "bedroom"): ("bedroom lights off", "no light in the bedroom"),
        ("activate", "music", "none"): ("play a song", "music please"),
        ("deactivate", "music", "none"): ("stop the song", "no music now"),
        ("increase", "heat", "washroom"): ("heat the washroom", "washroom hotter"),
        ("decrease", "volume", "none"): ("too loud", "less volume"),
        ("bring", "shoes", "none"): ("fetch my shoes", "I need shoes"),
    }
)
"""Slots and two wordings of each command."""

SPEAKERS: Mapping[str, Mapping[str, Voice]] = MappingProxyType(
    {
        "train": {
            "demoTrainA": Voice("en-us", "m1", pitch=40, rate=165),
            "demoTrainB": Voice("en-us", "f2", pitch=55, rate=165),
            "demoTrainC": Voice("en-us", "m3", pitch=55, rate=175),
            "demoTrainD": Voice("en-us", "f5", pitch=45, rate=155),
            "demoTrainE": Voice("en-gb-x-rp", "m7", pitch=45, rate=165),
        },
        "dev": {"demoDevA": Voice("en-us", "m5", pitch=45, rate=160)},
        "test": {
            "demoTestA": Voice("en-us", "m8", pitch=50, rate=165),
            "demoTestB": Voice("en-us", "f3", pitch=55, rate=160),
        },
    }
)

NOTICE = """This corpus is synthetic: a speech synthesiser (espeak-ng) gave commands in fourteen wordings.

It has the layout of Fluent Speech Commands and nothing of its speech. It is made to try the whole path from
training to a result file. Numbers measured on it say nothing about an upstream and carry the label "demo".
DEMO.json lists its files; where it is absent only half of the corpus was made, and making it again
completes it.
"""


@dataclass(frozen=True)
class _Utterance:
    split: str
    speaker: str
    path: str
    slots: tuple[str, str, str]
    line: Line


def make(root: Path) -> Path:
    """Make the corpus in `root`/fluent_speech_commands_dataset and return that folder.

    A corpus that is whole is left as it is; one that is half made or changed is made again. Raises UsageError
    if espeak-ng is not installed, if the folder holds something else, and if it cannot be written to.
    """
    target = root.expanduser().absolute() / FOLDER
    facts: dict[str, Any] = {"version": VERSION}
    if is_whole(target, DEMO, facts):
        return target
    plan = list(_plan())
    # Spoken before anything is written: without the synthesiser no empty corpus is left behind.
    waves = synthesise([utterance.line for utterance in plan])
    with writing(target):
        begin(target, DEMO, NOTICE)
        for utterance, wave in zip(plan, waves, strict=True):
            wavs.write_wav(target / utterance.path, wave)
        for split, table in TABLES.items():
            atomic_write_text(target / table, _table([one for one in plan if one.split == split]))
        seconds = round(sum(len(wave) for wave in waves) / SAMPLE_RATE, 3)
        files = [*(utterance.path for utterance in plan), *TABLES.values()]
        finish(target, DEMO, {**facts, "utterances": len(plan), "seconds": seconds}, files)
    return target


def _plan() -> Iterator[_Utterance]:
    for split, speakers in SPEAKERS.items():
        for speaker, voice in speakers.items():
            for slots, wordings in COMMANDS.items():
                for text in wordings:
                    name = uuid.uuid5(uuid.NAMESPACE_OID, f"demo {speaker} {text}")
                    path = f"wavs/speakers/{speaker}/{name}.wav"
                    yield _Utterance(split, speaker, path, slots, Line(text, voice))


def _table(utterances: list[_Utterance]) -> str:
    """A table as in the corpus, its first column a number without a name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", "path", "speakerId", "transcription", *SLOTS])
    for index, one in enumerate(utterances):
        writer.writerow([index, one.path, one.speaker, one.line.text, *one.slots])
    return text.getvalue()
