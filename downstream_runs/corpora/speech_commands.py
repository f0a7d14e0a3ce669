"""Speech Commands version 0.01 as SUPERB uses it: a folder of words, and a folder of test words.

`speech_commands_v0.01/<word>/<speaker>_nohash_<n>.wav` and `_background_noise_/*.wav` are for training and
dev, `speech_commands_test_set_v0.01/<class>/*.wav` is the test set. The corpus's own lists are not used:
s3prl decides by the hash of the file's name, which gives the corpus's own parts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import audio, checks, folders, texts
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from upstream_arm.common.errors import UsageError

TRAIN_FOLDER = "speech_commands_v0.01"
TEST_FOLDER = "speech_commands_test_set_v0.01"
NOISE = "_background_noise_"

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "_unknown_", "_silence_"
CLASSES = (*COMMANDS, UNKNOWN, SILENCE)
"""The twelve classes, in the order of s3prl's outputs."""

_OTHERS = """zero one two three four five six seven eight nine
bed bird cat dog happy house marvin sheila tree wow"""

WORDS = frozenset(COMMANDS).union(_OTHERS.split())
"""The thirty words of version 0.01; version 0.02 has five more."""

SECOND = 16_000

_HASHES = 2**27
"""Parts per whole of the hash: `MAX_NUM_WAVS_PER_CLASS + 1` in the corpus's README."""

_WANTED = "SUPERB uses version 0.01: unpack speech_commands_v0.01.tar.gz into a folder of its own"


def part(name: str) -> str | None:
    """The part of a word's file by its name: `train`, `dev`, or None (dropped, for it would be a test word).

    The rule is that of the corpus's README: SHA-1 of the name up to `_nohash_`, as a percentage; below 10 is
    dev, below 20 test. All files of a speaker fall in one part.
    """
    speaker = re.sub(r"_nohash_.*$", "", name)
    number = int(hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest(), 16) % _HASHES
    percentage = number * (100.0 / (_HASHES - 1))
    return "dev" if percentage < 10 else None if percentage < 20 else "train"


def _other_version(data: Path) -> str:
    """A sentence where `data` holds the words of another version only."""
    for folder in folders.subfolders(data) if data.is_dir() else ():
        if (folder / NOISE).is_dir():
            return f"{folder} holds Speech Commands, not in a folder {TRAIN_FOLDER}; {_WANTED}"
    return ""


def _test_root(request: Request) -> Path:
    """The folder of test words: in the user's folder, or beside the words."""
    beside = CORPUS.find(request.data).parent
    candidates = (request.data.expanduser().absolute() / TEST_FOLDER, beside / TEST_FOLDER)
    for folder in candidates:
        if folder.is_dir():
            return folder.resolve()
    raise UsageError(
        f"there is no folder {candidates[0]} with the test words of Speech Commands v0.01; unpack "
        "speech_commands_test_set_v0.01.tar.gz there (download.tensorflow.org/data): s3prl tests on it and "
        "not on the testing_list.txt of the words"
    )


def _wavs(root: Path, known: Collection[str], otherwise: str) -> Iterator[AudioFile]:
    """The wav files of all folders; UsageError, with `otherwise`, for a folder that is not `known`."""
    for folder in folders.subfolders(root):
        if folder.name not in known:
            raise UsageError(f"{folder} is not one of the folders of {otherwise}")
        yield from (AudioFile.at(path, root) for path in folders.files(folder, ".wav"))


def _label(file: AudioFile) -> str:
    """The class of a file by its folder."""
    folder = file.path.parent.name
    return SILENCE if folder == NOISE else folder if folder in CLASSES else UNKNOWN


def _listed(request: Request) -> Listing[Path]:
    """The files by part, each in the order of their paths; the content is the folder of test words."""
    root, test_root = request.root, _test_root(request)
    everything = list(_wavs(root, {*WORDS, NOISE}, f"version 0.01 (0.02 has five words more); {_WANTED}"))
    again = f"{TEST_FOLDER}, {', '.join(CLASSES)}; unpack that archive again"
    test = list(_wavs(test_root, CLASSES, again))
    noise = [file for file in everything if file.path.parent.name == NOISE]
    words = [file for file in everything if file.path.parent.name != NOISE]
    train, dev = ([file for file in words if part(file.path.name) == which] for which in ("train", "dev"))
    problems = []
    for name, folder, files in (
        ("train", root, [*train, *noise]),
        ("dev", root, [*dev, *noise]),
        ("test", test_root, test),
    ):
        absent = [label for label in CLASSES if label not in set(map(_label, files))]
        if absent:
            problems.append(f"{folder} has no {name} file of {', '.join(absent)}, of {len(CLASSES)} classes")
    return Listing(
        root,
        {"train words": train, "dev words": dev, NOISE: noise, "test words": test},
        test_root,
        problems,
        counts={TRAIN_FOLDER: len(words), NOISE: len(noise), TEST_FOLDER: len(test)},
        shortest={NOISE: SECOND},  # s3prl cuts a random second out of every noise
        roots=(root, test_root),
    )


def _written(listing: Listing[Path], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Name both folders to s3prl; nothing is written."""
    train, dev, noise, test = listing.audio.values()
    hashes = audio.listing_hash([*train, *dev, *noise]), audio.listing_hash(test)
    return listing.prepared(
        texts.digest(hashes),
        {
            "datarc.speech_commands_root": listing.root,
            "datarc.speech_commands_test_root": listing.content,
        },
        utterances={"train": len(train) + len(noise), "dev": len(dev) + len(noise), "test": len(test)},
    )


CORPUS = CheckedCorpus(
    **checks.facts("speech_commands"), listed=_listed, written=_written, instead=_other_version
)
