"""A few real words of Speech Commands as its two folders.

The source has `files.tsv` (columns file, word, label12, official_split) and the wav files. Words of the
official test part become the test set, with the class `_unknown_` for words that are no command, as in the
corpus's own test set. The test set's silence is cut from the noise files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.corpora import audio, folders
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import require_none
from downstream_runs.corpora.markers import SAMPLE, begin, finish, is_whole
from downstream_runs.corpora.samples import tables
from downstream_runs.corpora.samples.copies import link_or_copy
from downstream_runs.corpora.speech_commands import (
    COMMANDS,
    NOISE,
    SECOND,
    SILENCE,
    TEST_FOLDER,
    TRAIN_FOLDER,
    UNKNOWN,
    part,
)
from downstream_runs.corpora.texts import writing
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import sha256_file

TABLE = "files.tsv"
COLUMNS = ("file", "word", "official_split")

SILENCES_A_NOISE = 3
"""Seconds that are cut from each noise for the test set, at even distances."""

NOTICE = """This is a tiny sample of Speech Commands v0.01 in the layout of {name}, not the whole corpus.

Numbers measured on it say whether the path learns and nothing else; they carry the label "sample".
SAMPLE.json lists its files; where it is absent only half of the sample was laid out.
"""

SILENCE_INSTEAD = "silence cut from the noise that training hears too, one-second pieces of it"


@dataclass(frozen=True)
class _Word:
    """One word of the source."""

    audio: Path
    word: str
    test: bool

    @property
    def name(self) -> str:
        """Its place in the train folder or the test folder."""
        folder = self.word if not self.test or self.word in COMMANDS else UNKNOWN
        # Words that share a folder could share a name too.
        prefix = f"{self.word}_" if folder == UNKNOWN else ""
        return f"{folder}/{prefix}{self.audio.name}"


def lay_out(source: Path, dest: Path) -> Path:
    """Lay the words of `source` out in `dest` and return the folder of the words.

    Files are hard links where the file system has them and else copies. A sample that is whole is left as it
    is. UsageError for a source that cannot be used, before anything is written, for a word whose official
    part is not the one that s3prl's rule gives it, and for a `dest` that holds something else.
    """
    words, noises = _read(source)
    root = dest.expanduser().absolute()
    facts: dict[str, Any] = {
        "what": "real speech, a tiny sample of Speech Commands v0.01",
        "source": source.resolve().name,
        "source_table_sha256": sha256_file(source / TABLE),
        "instead": {SILENCE: SILENCE_INSTEAD},
    }
    plans = {TRAIN_FOLDER: False, TEST_FOLDER: True}
    if all(is_whole(root / name, SAMPLE, facts) for name in plans):
        return root / TRAIN_FOLDER
    for name, test in plans.items():
        target = root / name
        with writing(target):
            begin(target, SAMPLE, NOTICE.format(name=name))
            files = [one.name for one in words if one.test == test]
            for one in words:
                if one.test == test:
                    link_or_copy(one.audio, target / one.name)
            files += _silence(target, noises) if test else _noise(target, noises)
            finish(target, SAMPLE, facts, files)
    return root / TRAIN_FOLDER


def _read(source: Path) -> tuple[list[_Word], list[Path]]:
    words = [
        _word(source, row["file"], row["word"], row["official_split"], place)
        for place, row in tables.read(source / TABLE, COLUMNS, f"{TABLE} and its files")
    ]
    noises = folders.files(source / NOISE, ".wav")
    problems = audio.problems([AudioFile.at(path, source) for path in noises], None, "noise", SECOND)
    problems += audio.problems([AudioFile.at(one.audio, source) for one in words], None, "words")
    require_none(problems, "restore these files of the sample")
    return words, noises


def _word(source: Path, file: str, word: str, split: str, place: str) -> _Word:
    audio = source / file
    if not re.fullmatch(r"[a-z]+/[0-9a-f]+_nohash_[0-9]+\.wav", file):
        raise UsageError(f"{place} names the file {file!r}, expected one such as yes/51055bda_nohash_4.wav")
    wanted = {"train": "train", "validation": "dev", "test": None}.get(split, split)
    if part(audio.name) != wanted:
        raise UsageError(
            f"{place} puts {file} in {split}, and s3prl's rule puts it in {part(audio.name) or 'test'}"
        )
    return _Word(audio, word, wanted is None)


def _noise(target: Path, noises: list[Path]) -> list[str]:
    names = [f"{NOISE}/{path.name}" for path in noises]
    for path, name in zip(noises, names, strict=True):
        link_or_copy(path, target / name)
    return names


def _silence(target: Path, noises: list[Path]) -> list[str]:
    import soundfile

    names = []
    for path in noises:
        wave = soundfile.read(str(path), dtype="float64")[0]
        for index in range(SILENCES_A_NOISE):
            start = index * (len(wave) - SECOND) // max(SILENCES_A_NOISE - 1, 1)
            name = f"{SILENCE}/{path.stem}_{index}.wav"
            audio.write_audio(target / name, wave[start : start + SECOND])
            names.append(name)
    return names
