"""A few real words of Speech Commands as its two folders.

The source has `files.tsv` (columns file, word, label12, official_split) and the wav files. Words of the
official test part become the test set, with the class `_unknown_` for words that are no command, as in the
corpus's own test set. The test set's silence is cut from the noise files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from downstream_runs.corpora import folders
from downstream_runs.corpora.audio import AudioFile, problems
from downstream_runs.corpora.checks import require_none
from downstream_runs.corpora.samples import laid
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
from upstream_arm.common.errors import UsageError

TABLE = "files.tsv"
COLUMNS = ("file", "word", "official_split")

SILENCES_A_NOISE = 3
"""Seconds that are cut from each noise for the test set, at even distances."""

SILENCE_INSTEAD = "silence cut from the noise that training hears too, one-second pieces of it"


def lay_out(source: Path, dest: Path) -> Path:
    """Lay the words of `source` out in `dest` and return the folder of the words, see `laid.lay_out`.

    UsageError for a source that cannot be used, before anything is written, and for a word whose official
    part is not the one that s3prl's rule gives it.
    """
    train, test = _words(source)
    noises = folders.files(source / NOISE, ".wav")
    bad = problems([AudioFile.at(path, source) for path in noises], None, "noise", SECOND)
    bad += problems([AudioFile.at(path, source) for path in (*train.values(), *test.values())], None, "words")
    require_none(bad, "restore these files of the sample")
    facts = laid.facts(
        "real speech, a tiny sample of Speech Commands v0.01", source / TABLE, {SILENCE: SILENCE_INSTEAD}
    )
    words: dict[str, Any] = {**train, **{f"{NOISE}/{path.name}": path for path in noises}}
    for folder, audio in ((TRAIN_FOLDER, words), (TEST_FOLDER, {**test, **_silence(noises)})):
        laid.lay_out(dest / folder, facts, "a few of its words", audio, {})
    return dest.expanduser().absolute() / TRAIN_FOLDER


def _words(source: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """The words for training and dev, and the test words, by their places in the two folders."""
    train, test = {}, {}
    for place, row, audio in laid.read(source / TABLE, COLUMNS):
        file, word, split = (row[column] for column in COLUMNS)
        if not re.fullmatch(r"[a-z]+/[0-9a-f]+_nohash_[0-9]+\.wav", file):
            raise UsageError(
                f"{place} names the file {file!r}, expected one such as yes/51055bda_nohash_4.wav"
            )
        ours = part(audio.name) or "test"
        if ours != {"validation": "dev"}.get(split, split):
            raise UsageError(f"{place} puts {file} in {split}, and s3prl's rule puts it in {ours}")
        if ours != "test":
            train[f"{word}/{audio.name}"] = audio
        else:
            # Words that share a folder could share a name too.
            name = f"{word}/{audio.name}" if word in COMMANDS else f"{UNKNOWN}/{word}_{audio.name}"
            test[name] = audio
    return train, test


def _silence(noises: list[Path]) -> dict[str, Any]:
    import soundfile

    pieces = {}
    for path in noises:
        wave = soundfile.read(str(path), dtype="float64")[0]
        for index in range(SILENCES_A_NOISE):
            start = index * (len(wave) - SECOND) // max(SILENCES_A_NOISE - 1, 1)
            pieces[f"{SILENCE}/{path.stem}_{index}.wav"] = wave[start : start + SECOND]
    return pieces
