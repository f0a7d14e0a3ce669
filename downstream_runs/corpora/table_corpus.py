"""The corpus of a task of one's own: a table and its audio, checked, and as s3prl is shown it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.audio import AudioProblem
from downstream_runs.core.corpus import Corpus, PreparedData, Problem, Split, Standing
from downstream_runs.corpora import audio, checks, table_view, tables, texts
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.tables import SPLITS, Row, Source, Table
from upstream_arm import listings
from upstream_arm.common.errors import UsageError
from upstream_arm.common.stages import stage

MEASURED = 64
"""Files whose headers tell how long an utterance is on average, for estimates."""

FEWEST_FOLDS = 2

Judged = Callable[[Source, Table], Iterator[str]]
"""(source, table) -> each Problem of rows that the kind of task cannot use, and sentences on others."""

Written = Callable[
    [Source, Table, Path, Mapping[str, Path], Mapping[str, Any]],
    tuple[Mapping[str, Any], Mapping[str, int], tuple[str, ...]],
]
"""(source, table, folder, links, configuration) -> what s3prl must be told, utterances of each split, and
what must be said of them."""

Speakers = Callable[[Row], Iterable[str]]
"""Who speaks in a row's recording."""


@dataclass(frozen=True)
class Examined:
    """A table, the audio of its rows, all that is wrong with either, and what must be said of them."""

    table: Table
    files: tuple[AudioFile, ...]
    faults: tuple[Problem, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class TableCorpus(Corpus):
    """The corpus of a task of one's own.

    sha256: of the table as the command read it. judged, written: see these. The latter writes what s3prl
    reads.
    """

    source: Source
    sha256: str
    judged: Judged
    written: Written

    def look(
        self, data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
    ) -> Standing:
        """See `Corpus`."""
        return self._usable()[1]

    def prepare(
        self, data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False
    ) -> PreparedData:
        """See `Corpus`: each file is decoded to its end once, and again only where it has changed."""
        examined, standing = self._usable()
        table, files = examined.table, examined.files
        checks.require_none(self._of_audio(examined, cache), self.source.again)
        folder, links = table_view.view(table.path, [row.path for row in table.rows], table.lines, cache)
        settings, utterances, also = self.written(self.source, table, folder, links, config)
        names = table_view.named(row.path for row in table.rows)
        groups = {name: row.speaker or name for row, name in zip(table.rows, names.values(), strict=True)}
        groups |= {
            number: speaker
            for speaker, number in table_view.numbered(row.speaker for row in table.rows).items()
        }
        return PreparedData(
            root=table.path,
            settings=settings,
            utterances=utterances,
            sha256=audio.listing_hash(files, [*table.lines, self.source.also_sha256]),
            audio=tuple(file.path for file in files),
            groups=groups,
            **standing.and_also(also).facts,
        )

    def make_demo(self, folder: Path) -> Path:
        """There is none; UsageError."""
        raise UsageError("--demo is for the tasks of SUPERB: a table is its own data, leave --demo out")

    def faults(self, cache: Path) -> list[Problem]:
        """All that is wrong with the table and its audio; UsageError for what is no table at all."""
        examined = self.examined()
        return [*examined.faults, *self._of_audio(examined, cache)]

    def examined(self) -> Examined:
        """The table and its files as they are now; no audio is decoded."""
        listings.look_again()
        table, faults = tables.parsed(self.source)
        if not table.rows:
            return Examined(table, (), tuple(faults), ())
        found = list(self.judged(self.source, table))
        root = table.path.parent
        files = tuple(AudioFile.at(root / row.path, name=row.path) for row in table.rows)
        faults += _of_splits(table)
        faults += [one for one in found if isinstance(one, Problem)]
        faults += [
            Problem(f"{row.place} names {row.path}, and there is no such file in {root}")
            for row, file in zip(table.rows, files, strict=True)
            if file.size is None
        ]
        return Examined(
            table, files, tuple(faults), tuple(one for one in found if not isinstance(one, Problem))
        )

    def _of_audio(self, examined: Examined, cache: Path) -> list[Problem]:
        """What is wrong with the files that are there; their lengths are kept in `cache`."""
        key = texts.digest([str(examined.table.path.parent)])[:16]
        lengths = cache / "tables" / f"lengths-{key}.txt"
        there = [file for file in examined.files if file.size is not None]
        with stage(f"checking the audio of {examined.table.path.name}"):
            _, problems = audio.measure(there, audio.decode, lengths, "decode the table's audio")
        return [
            Problem(one, "make it a file of 16 kHz and one channel, or remove its line") for one in problems
        ]

    def _usable(self) -> tuple[Examined, Standing]:
        """The table, and what must be said of it, which is said here too; UsageError if it cannot be used."""
        examined = self.examined()
        path, sha256 = examined.table.path, examined.table.sha256
        if sha256 != self.sha256:
            raise UsageError(
                f"{path} is not the table that it was: its SHA-256 is {sha256}, expected {self.sha256}; "
                "start the run anew with the table that there is"
            )
        checks.require_none(examined.faults, self.source.again)
        for sentence in examined.remarks:
            print(f"WARNING: {path.name}: {sentence}", file=sys.stderr)
        return examined, Standing(deviations=examined.remarks)


def _of_splits(table: Table) -> Iterator[Problem]:
    """A split without rows, or a single fold."""
    if table.folds:
        if len(table.folds) < FEWEST_FOLDS:
            yield Problem(f"{table.path} has one fold, at least two were expected")
        return
    for split in SPLITS:
        if not table.of(split):
            yield Problem(
                f"{table.path} has no row of {split}, and one of each split is needed: {', '.join(SPLITS)}",
                "without a column split have it divided with --split-by",
            )


def leaks(source: Source, table: Table, speakers: Speakers | None = None) -> Iterator[str]:
    """What a reader of the numbers must know of the speakers: above all, those in two splits.

    speakers: by default those of the column speaker.
    """
    who = speakers or (lambda row: {row.speaker} - {""})
    everyone = {name for row in table.rows for name in who(row)}
    if not everyone:
        yield "the table names no speakers, so that none is known to be in one split only"
        return
    of: dict[str, set[str]] = {part: set() for part in tables.parts(table)}
    for row in table.rows:
        of.setdefault(row.split or row.fold, set()).update(who(row))
    if table.folds:
        often = Counter(name for names in of.values() for name in names)
        yield from _leak(everyone, {name for name in often if often[name] > 1}, "folds")
    else:
        for part in SPLITS[1:]:
            yield from _leak(of[part], of[part] & of["train"], f"{part} and train")


def _leak(speakers: set[str], shared: set[str], where: str) -> Iterator[str]:
    if shared:
        names = ", ".join(sorted(shared)[:3]) + (", ..." if len(shared) > 3 else "")
        yield (
            f"{len(shared)} of {len(speakers)} speakers are in several of {where} ({names}): the numbers "
            "do not tell how well it works for new speakers"
        )


def sizes(table: Table) -> dict[str, Split]:
    """How large its splits are, of folds where the largest is held out; lengths are those of some files."""
    counts = Counter(row.split for row in table.rows)
    if table.folds:
        test = max(Counter(row.fold for row in table.rows).values())
        counts = Counter({"train": len(table.rows) - test, "test": test})
    seconds = _mean_seconds([table.path.parent / row.path for row in table.rows])
    return {split: Split.of_mean(counts[split], seconds) for split in SPLITS if counts[split]}


def _mean_seconds(files: Sequence[Path]) -> float:
    """The mean length of some of the files, by their headers; 5 s where none can be read."""
    known = []
    for path in audio.spread(files, MEASURED):
        try:
            known.append(audio.length(path) / audio.SAMPLE_RATE)
        except AudioProblem:
            continue
    return sum(known) / len(known) if known else 5.0
