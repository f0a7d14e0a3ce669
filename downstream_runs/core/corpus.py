"""What a corpus is: where it comes from, how large it is, and what a run gets of it."""

from __future__ import annotations

import abc
import fcntl
import json
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upstream_arm.common.errors import UsageError


@dataclass(frozen=True)
class Split:
    """Utterances (SD, QbE: recordings) of one split of the real corpus, and hours of their audio."""

    utterances: int
    hours: float

    @classmethod
    def of_mean(cls, utterances: int, seconds: float) -> Split:
        """A split of which the mean length of an utterance is known."""
        return cls(utterances, utterances * seconds / 3600)

    @property
    def mean_seconds(self) -> float:
        """Of an utterance."""
        return 3600 * self.hours / self.utterances


@dataclass(frozen=True)
class Standing:
    """What sets a corpus apart from the official one.

    labels: every number measured on it carries them. deviations: a sentence each. partial: of a part of a
    corpus, how much each of its parts has, such as `2,850 of 28,539 utterances`; empty for any other.
    """

    labels: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    partial: Mapping[str, str] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of the same names, for `PreparedData`."""
        return {"labels": self.labels, "deviations": self.deviations, "partial": self.partial}

    def and_also(self, deviations: Sequence[str] = (), labels: Sequence[str] = ()) -> Standing:
        """The same with more labels and deviations."""
        known = tuple(dict.fromkeys((*self.labels, *labels)))
        return Standing(known, tuple(dict.fromkeys((*self.deviations, *deviations))), self.partial)


@dataclass(frozen=True)
class PreparedData:
    """A corpus ready for s3prl: its paths, utterances per split, and a content hash.

    `settings`: what s3prl's expert must be told, by dotted keys within `downstream_expert`, such as
    `datarc.libri_root` or `loaderrc.train_dir`.
    `audio`: the files that a run may read, in an order that the corpus alone decides.
    `listing_sha256`: the hash without a sample of the audio's contents (`corpora.audio`); empty before
    they were looked at.
    `labels`, `deviations` and `partial` say how it differs from the official corpus, see `Standing`.
    `groups`: test items and their groups (see `Item`), where their names in s3prl's files do not say them.
    """

    root: Path
    settings: Mapping[str, Any]
    utterances: Mapping[str, int]
    sha256: str
    audio: tuple[Path, ...] = ()
    listing_sha256: str = ""
    labels: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    partial: Mapping[str, str] = field(default_factory=dict)

    def added_to(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A recipe's configuration as s3prl takes it: a copy with `settings` in `downstream_expert`."""
        merged: dict[str, Any] = json.loads(json.dumps(config))
        for key, value in self.settings.items():
            *parents, last = key.split(".")
            block = merged["downstream_expert"]
            for name in parents:
                block = block.setdefault(name, {})
            block[last] = value
        return merged


def shortfall(partial: Mapping[str, str]) -> str:
    """How much of a corpus there is: `partial corpus: train 2 of 28,539 words`; empty for a whole one."""
    counts = ", ".join(f"{part} {count}" for part, count in partial.items())
    return f"partial corpus: {counts}" if counts else ""


class Problem(str):
    """What is wrong with one line or file: a sentence without its end, and `remedy`, which mends it alone."""

    remedy: str

    def __new__(cls, what: str, remedy: str = "") -> Problem:
        problem = super().__new__(cls, what)
        problem.remedy = remedy
        return problem


@dataclass(frozen=True)
class Corpus(abc.ABC):
    """The corpus of a task, as the task's part of s3prl needs it.

    `size`: on the disk, in words. `splits`: of the real corpus under one name a role: train, dev, test, and
    QbE's documents. `demo`: MODULE:FUNCTION, which makes the synthetic corpus of this layout in a folder.
    """

    name: str
    licence: str
    size: str
    url: str
    splits: Mapping[str, Split]
    demo: str

    @abc.abstractmethod
    def look(
        self, data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
    ) -> Standing:
        """What the corpus below `data` is, in seconds even for a whole one: no audio is decoded.

        `config` is the run's, which says what is read; `partial` allows a corpus that is not the whole
        official one. With `cache` None nothing is written or downloaded, and what would have to be is taken
        for good. UsageError for a corpus that cannot be used.
        """

    @abc.abstractmethod
    def prepare(
        self, data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False
    ) -> PreparedData:
        """Check the corpus below `data` and write what s3prl needs to `cache`; the rest as for `look`."""

    def examine(
        self, data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False
    ) -> PreparedData:
        """As of `prepare`, but what takes long is left to that: without `sha256` it was."""
        return self.prepare(data, cache, config, partial)

    def make_demo(self, folder: Path) -> Path:
        """Make the synthetic corpus in `folder`, which `prepare` then finds as `data`; returns its root.

        Tasks share corpora, so one process at a time. UsageError where it cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / ".lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                root: Path = pkgutil.resolve_name(self.demo)(folder)
                return root
        except OSError as error:
            raise UsageError(
                f"the demo's corpus cannot be made in {folder.absolute()} ({error.strerror or error}): work "
                "in a folder that can be written, with 1 GB of room, or give --out one"
            ) from error

    @property
    def hours(self) -> float:
        """Of audio in all splits."""
        return sum(split.hours for split in self.splits.values())
