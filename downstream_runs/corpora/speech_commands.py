"""Speech Commands version 0.01 as SUPERB uses it: a folder of words, and a folder of test words.

`speech_commands_v0.01/<word>/<speaker>_nohash_<n>.wav` and `_background_noise_/*.wav` are for training and
dev, `speech_commands_test_set_v0.01/<class>/*.wav` is the test set. The corpus's own lists are not used:
s3prl decides by the hash of the file's name, which gives the corpus's own parts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import Corpus, PreparedData, Split, Standing
from downstream_runs.corpora import folders, markers, wavs
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

WORDS_OF_02 = frozenset(("backward", "follow", "forward", "learn", "visual"))
"""The words of version 0.02 that version 0.01 has not."""

WORDS = frozenset(COMMANDS).union(_OTHERS.split())
"""The thirty words of version 0.01; version 0.02 has five more."""

OFFICIAL_WORDS = 64_721
"""Words in version 0.01: its README counts 64,727 files with the six of background noise."""

OFFICIAL_NOISES = 6
OFFICIAL_TEST = 3_081
"""Files of the test set of version 0.01, as the data set card on Hugging Face counts them."""

SECOND = 16_000

_HASHES = 2**27
"""Parts per whole of the hash: `MAX_NUM_WAVS_PER_CLASS + 1` in the corpus's README."""


@dataclass(frozen=True)
class Listing:
    """The wav files of a corpus by part, each in the order of their paths; noise is in both train and dev."""

    train_root: Path
    test_root: Path
    train: tuple[Path, ...]
    dev: tuple[Path, ...]
    noise: tuple[Path, ...]
    test: tuple[Path, ...]
    words: int

    @property
    def utterances(self) -> Mapping[str, int]:
        """Items of each of s3prl's data sets."""
        return {
            "train": len(self.train) + len(self.noise),
            "dev": len(self.dev) + len(self.noise),
            "test": len(self.test),
        }


def part(name: str) -> str | None:
    """The part of a word's file by its name: `train`, `dev`, or None (dropped, for it would be a test word).

    The rule is that of the corpus's README: SHA-1 of the name up to `_nohash_`, as a percentage; below 10 is
    dev, below 20 test. All files of a speaker fall in one part.
    """
    speaker = re.sub(r"_nohash_.*$", "", name)
    number = int(hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest(), 16) % _HASHES
    percentage = number * (100.0 / (_HASHES - 1))
    return "dev" if percentage < 10 else None if percentage < 20 else "train"


_WANTED = "SUPERB uses version 0.01: unpack speech_commands_v0.01.tar.gz into a folder of its own"


def find_roots(data: Path) -> tuple[Path, Path]:
    """The folders of words and of test words: both in DATA, or DATA the first and the second beside it.

    UsageError says what was looked for and where.
    """
    _require_version(data.expanduser().absolute())
    train = wavs.find(
        data,
        (TRAIN_FOLDER,),
        lambda path: (path / NOISE).is_dir(),
        f"the words of Speech Commands v0.01, a folder that holds {NOISE}, and {{found}}; unpack "
        "speech_commands_v0.01.tar.gz there (download.tensorflow.org/data), or try the whole path on "
        "synthetic speech with --demo",
    )
    candidates = (data.expanduser().absolute() / TEST_FOLDER, train.parent / TEST_FOLDER)
    for test in candidates:
        if test.is_dir():
            return train, test
    raise UsageError(
        f"there is no folder {candidates[0]} with the test words of Speech Commands v0.01; unpack "
        "speech_commands_test_set_v0.01.tar.gz there (download.tensorflow.org/data): s3prl tests on it and "
        "not on the testing_list.txt of the words"
    )


def _require_version(data: Path) -> None:
    """UsageError if `data` holds the words of another version only."""
    if data.is_dir() and not any((place / NOISE).is_dir() for place in (data / TRAIN_FOLDER, data)):
        others = [folder for folder in folders.subfolders(data) if (folder / NOISE).is_dir()]
        if others:
            raise UsageError(f"{others[0]} holds Speech Commands, not in a folder {TRAIN_FOLDER}; {_WANTED}")


def read(train_root: Path, test_root: Path) -> Listing:
    """List both folders; UsageError for folders that are not words of version 0.01, or not test classes."""
    parts: dict[str, list[Path]] = {"train": [], "dev": []}
    total = 0
    for folder in folders.subfolders(train_root):
        if folder.name == NOISE:
            continue
        if folder.name in WORDS_OF_02:
            raise UsageError(
                f"{train_root} is Speech Commands v0.02: it has the word {folder.name}; {_WANTED}"
            )
        if folder.name not in WORDS:
            raise UsageError(
                f"{folder} is not a word of Speech Commands v0.01 (version 0.02 has five words more); "
                f"{_WANTED}"
            )
        files = folders.files(folder, ".wav")
        total += len(files)
        for path in files:
            where = part(path.name)
            if where is not None:
                parts[where].append(path)
    test = []
    for folder in folders.subfolders(test_root):
        if folder.name not in CLASSES:
            raise UsageError(
                f"{folder} is not one of the twelve classes {', '.join(CLASSES)}, which the folders of "
                "speech_commands_test_set_v0.01 are named for; unpack that archive again"
            )
        test += folders.files(folder, ".wav")
    return Listing(
        train_root=train_root,
        test_root=test_root,
        train=tuple(parts["train"]),
        dev=tuple(parts["dev"]),
        noise=tuple(folders.files(train_root / NOISE, ".wav")),
        test=tuple(test),
        words=total,
    )


def label(path: Path) -> str:
    """The class of a file by its folder."""
    folder = path.parent.name
    return SILENCE if folder == NOISE else folder if folder in CLASSES else UNKNOWN


def check(listing: Listing, *, decode: int | None) -> list[str]:
    """What keeps the corpus from being used, a sentence each; `decode` files of each part are decoded."""
    found = []
    for name, files in (
        ("train", (*listing.train, *listing.noise)),
        ("dev", (*listing.dev, *listing.noise)),
        ("test", listing.test),
    ):
        root = listing.test_root if name == "test" else listing.train_root
        present = {label(path) for path in files}
        absent = [one for one in CLASSES if one not in present]
        if absent:
            found.append(f"{root} has no {name} file of {', '.join(absent)}, of {len(CLASSES)} classes")
    for name, files in (("train", listing.train), ("dev", listing.dev), ("test", listing.test)):
        found += wavs.problems(files, decode, f"{name} words")
    # s3prl cuts a random second out of every noise.
    found += wavs.problems(listing.noise, None, "noise", shortest=SECOND)
    return found


def labels(listing: Listing) -> tuple[str, ...]:
    """`("demo",)` for synthetic speech, `("sample",)` for a few real words, `()` for anything else."""
    both = [*markers.labels(listing.train_root), *markers.labels(listing.test_root)]
    return tuple(dict.fromkeys(both))


def standing(listing: Listing, partial: bool) -> Standing:
    """What the corpus is beside the official one; UsageError as of `markers.standing`."""
    if labels(listing):
        made = [*markers.deviations(listing.train_root), *markers.deviations(listing.test_root)]
        return Standing(labels(listing), tuple(dict.fromkeys(made)))
    counts = (
        markers.Count(listing.train_root.name, listing.words, OFFICIAL_WORDS, "words"),
        markers.Count(NOISE, len(listing.noise), OFFICIAL_NOISES, "files"),
        markers.Count(listing.test_root.name, len(listing.test), OFFICIAL_TEST, "words"),
    )
    again = "unpack both archives of Speech Commands v0.01 again"
    return markers.standing(listing.train_root, counts, partial, again)


def content_hash(listing: Listing) -> str:
    """Over the names and sizes of all files that are used."""
    words = wavs.listing_hash(listing.train_root, (*listing.train, *listing.dev, *listing.noise))
    return hashlib.sha256((words + wavs.listing_hash(listing.test_root, listing.test)).encode()).hexdigest()


def look(data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False) -> Standing:
    """Hold both folders of Speech Commands under `data` against their classes and counts."""
    return _read(data, partial, decode=0)[1]


def _read(data: Path, partial: bool, decode: int) -> tuple[Listing, Standing]:
    """The files of both folders, and what the corpus is."""
    train, test = (root.resolve() for root in find_roots(data))
    listing = read(train, test)
    made = labels(listing)
    found = standing(listing, partial)
    wavs.require_good(
        check(listing, decode=decode),
        f"delete {train} and {test} and make the {' and '.join(made)} corpus again"
        if made
        else "unpack both archives of Speech Commands v0.01 again, or try the path first with --demo",
    )
    return listing, found


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find both folders of Speech Commands under `data` and check them."""
    listing, found = _read(data, partial, decode=8)
    train, test = listing.train_root, listing.test_root
    return PreparedData(
        root=train,
        settings={"datarc.speech_commands_root": str(train), "datarc.speech_commands_test_root": str(test)},
        utterances=listing.utterances,
        audio=(*listing.train, *listing.dev, *listing.noise, *listing.test),
        sha256=content_hash(listing),
        **found.facts,
    )


def _make_demo(folder: Path) -> Path:
    """The synthetic corpus in Speech Commands' layout, made in `folder`."""
    from downstream_runs.corpora.demo import speech_commands

    return speech_commands.make(folder)


CORPUS = Corpus(
    name="Speech Commands v0.01 and its test set",
    licence="CC BY 4.0",
    size="1.4 GB + 69 MB",
    url="http://download.tensorflow.org/data/speech_commands_v0.01.tar.gz and "
    "http://download.tensorflow.org/data/speech_commands_test_set_v0.01.tar.gz",
    splits={
        "train": Split.of_mean(51_094, 1.0),
        "dev": Split.of_mean(6_798, 1.0),
        "test": Split.of_mean(3_081, 1.0),
    },
    look=look,
    prepare=prepare,
    make_demo=_make_demo,
)
