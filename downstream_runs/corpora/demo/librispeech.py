"""A synthetic corpus in LibriSpeech's layout: about three minutes of speech, made in seconds.

Six speakers in train-clean-100, two others each in dev-clean and test-clean, and forty words. Numbers
measured on it say that the path works and nothing about an upstream; they carry the label "demo".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from downstream_runs.corpora.demo import sentences
from downstream_runs.corpora.demo.speech import Line, Voice, synthesise
from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.corpora.markers import DEMO, begin, finish, is_whole
from downstream_runs.corpora.outputs import writing
from downstream_runs.corpora.transcripts import format_line
from upstream_arm.common.files import atomic_path, atomic_write_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

CHAPTER = 1
"""Each speaker has one chapter."""

SPEAKERS: Mapping[str, Mapping[int, Voice]] = MappingProxyType(
    {
        "train-clean-100": {
            90001: Voice("en-us", "m1", pitch=40),
            90002: Voice("en-us", "f2", pitch=55),
            90003: Voice("en-us", "m3", pitch=55, rate=145),
            90004: Voice("en-us", "f5", pitch=45, rate=125),
            90005: Voice("en-gb-x-rp", "m7", pitch=45),
            90006: Voice("en-gb-x-rp", "f4", pitch=50, rate=140),
        },
        "dev-clean": {
            90011: Voice("en-us", "m5", pitch=45, rate=130),
            90012: Voice("en-us", "f1", pitch=50),
        },
        "test-clean": {
            90021: Voice("en-us", "m8", pitch=50),
            90022: Voice("en-us", "f3", pitch=55, rate=130),
        },
    }
)
"""Speaker numbers above LibriSpeech's own, so that no made utterance has the id of a real one."""

UTTERANCES_A_SPEAKER: Mapping[str, int] = MappingProxyType(
    {"train-clean-100": 10, "dev-clean": 6, "test-clean": 6}
)

NOTICE = """This corpus is synthetic: a speech synthesiser (espeak-ng) said sentences of about forty words.

It has the layout of LibriSpeech and nothing of its speech. It is made to try the whole path from training
to a result file. Numbers measured on it say nothing about an upstream and carry the label "demo".
DEMO.json lists its files; where it is absent only half of the corpus was made, and making it again
completes it.
"""


@dataclass(frozen=True)
class _Utterance:
    """What one file will hold; `folder` is relative to the root."""

    folder: str
    name: str
    line: Line


def make(root: Path, seed: int = 0) -> Path:
    """Make the corpus in `root`/LibriSpeech and return that folder.

    `seed` draws the sentences. A corpus that is whole is left as it is; one that is half made, changed, or of
    another seed is made again. Raises UsageError if espeak-ng is not installed, if the folder holds something
    else, and if it cannot be written to.
    """
    target = root.expanduser().absolute() / "LibriSpeech"
    facts: dict[str, Any] = {"version": VERSION, "seed": seed}
    if is_whole(target, DEMO, facts):
        return target
    plan = _plan(seed)
    # Spoken before anything is written: without the synthesiser no empty corpus is left behind.
    waves = synthesise([utterance.line for utterance in plan])
    with writing(target):
        begin(target, DEMO, NOTICE)
        files = _write(target, plan, waves)
        seconds = round(sum(len(wave) for wave in waves) / SAMPLE_RATE, 3)
        finish(target, DEMO, {**facts, "utterances": len(plan), "seconds": seconds}, files)
    return target


def _plan(seed: int) -> list[_Utterance]:
    """Every utterance of the corpus; no sentence is said twice, so dev and test hold new ones."""
    total = sum(len(speakers) * UTTERANCES_A_SPEAKER[split] for split, speakers in SPEAKERS.items())
    drawn = iter(sentences.draw(total, seed))
    plan = []
    for split, speakers in SPEAKERS.items():
        for speaker, voice in speakers.items():
            for number in range(UTTERANCES_A_SPEAKER[split]):
                folder = f"{split}/{speaker}/{CHAPTER}"
                plan.append(_Utterance(folder, f"{speaker}-{CHAPTER}-{number:04d}", Line(next(drawn), voice)))
    return plan


def _write(root: Path, plan: list[_Utterance], waves: list[NDArray[np.float32]]) -> list[str]:
    """Write audio and transcripts; the paths of all files, relative to `root`."""
    transcripts: dict[str, str] = {}
    files = []
    for utterance, wave in zip(plan, waves, strict=True):
        name = f"{utterance.folder}/{utterance.name}.flac"
        _write_flac(root / name, wave)
        files.append(name)
        speaker, chapter, _ = utterance.name.split("-")
        listing = f"{utterance.folder}/{speaker}-{chapter}.trans.txt"
        transcripts[listing] = transcripts.get(listing, "") + format_line(utterance.name, utterance.line.text)
    for name, text in transcripts.items():
        atomic_write_text(root / name, text)
    return [*files, *transcripts]


def _write_flac(path: Path, wave: NDArray[np.float32]) -> None:
    import numpy as np
    import soundfile

    # Rounded here rather than by libsndfile, whose scaling may differ from version to version.
    samples = np.rint(wave * 32767).astype(np.int16)
    with atomic_path(path) as temporary:
        soundfile.write(str(temporary), samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
