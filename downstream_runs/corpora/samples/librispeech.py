"""A few real utterances as a LibriSpeech root.

It answers one question on real speech, in minutes and without LibriSpeech: does the path learn, from audio
to a word error rate? Its splits are not the official ones, and every number measured on it carries the
label "sample".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.corpora.audio import SAMPLE_RATE, AudioProblem, decode
from downstream_runs.corpora.markers import SAMPLE, begin, finish, is_whole
from downstream_runs.corpora.samples import tables
from downstream_runs.corpora.samples.copies import link_or_copy
from downstream_runs.corpora.texts import writing
from downstream_runs.corpora.transcripts import TranscriptProblem, format_line, parse_line
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text, sha256_file

TABLE = "utterances.tsv"
COLUMNS = ("utt", "file", "transcript")

NOTICE = """This is a tiny sample of real speech in the layout of LibriSpeech, not the official splits.

train-clean-100  {train} utterances, the shortest of the source
dev-clean        copies of the same {train} training utterances: what the head has learnt by heart
test-clean       {held_out} held-out utterances, the shortest of the rest; speakers may be those of training

Numbers measured on it say whether the path learns and nothing else; they carry the label "sample".
SAMPLE.json lists its files; where it is absent only half of the corpus was laid out.
"""


@dataclass(frozen=True)
class Utterance:
    """One utterance of the source: its id `speaker-chapter-NNNN`, flac, length in samples, transcript."""

    name: str
    audio: Path
    samples: int
    transcript: str

    @property
    def chapter(self) -> tuple[str, str]:
        """Speaker and chapter."""
        speaker, chapter, _ = self.name.split("-")
        return speaker, chapter


def lay_out(
    source: Path,
    dest: Path,
    train: int = 12,
    held_out: int = 30,
    usable: Callable[[Utterance], bool] = lambda utterance: True,
) -> Path:
    """Lay utterances of `source` out in `dest`/LibriSpeech and return that folder.

    `source` holds `utterances.tsv` (a line of column names, among them utt, file, transcript) and the flac
    files that it names. Of the `usable` utterances the `train` shortest become train-clean-100 and, copied,
    dev-clean; the next shortest, `held_out` at most, become test-clean. Files are hard links where the file
    system has them and else copies. A sample that is whole is left as it is. Raises UsageError for a source
    that cannot be used, before anything is written, and for a `dest` that holds something else or cannot be
    written to.
    """
    if train < 2 or held_out < 1:
        raise UsageError(
            f"{train} training and {held_out} held-out utterances were asked for, at least 2 and 1 are "
            f"needed (s3prl drops a training batch of one)"
        )
    read = filter(usable, read_table(source))
    utterances = sorted(read, key=lambda utterance: (utterance.samples, utterance.name))
    if len(utterances) <= train:
        raise UsageError(
            f"{source / TABLE} lists {len(utterances)} usable utterances, more than the {train} to train on "
            f"are needed; give a smaller --train"
        )
    chosen = utterances[:train]
    parts = {
        "train-clean-100": chosen,
        "dev-clean": chosen,
        "test-clean": utterances[train : train + held_out],
    }
    target = dest.expanduser().absolute() / "LibriSpeech"
    facts = _facts(source, parts)
    if is_whole(target, SAMPLE, facts):
        return target
    with writing(target):
        begin(target, SAMPLE, NOTICE.format(train=len(chosen), held_out=len(parts["test-clean"])))
        files = [name for split, part in parts.items() for name in _write(target, split, part)]
        finish(target, SAMPLE, facts, files)
    return target


def _facts(source: Path, parts: dict[str, list[Utterance]]) -> dict[str, Any]:
    """What SAMPLE.json says beside the hashes."""
    seconds = {
        split: round(sum(utterance.samples for utterance in part) / SAMPLE_RATE, 3)
        for split, part in parts.items()
    }
    return {
        "what": "real speech, a tiny sample, not the official splits of LibriSpeech",
        "source": source.resolve().name,
        "source_table_sha256": sha256_file(source / TABLE),
        "instead": {
            "dev-clean": "copies of the training utterances",
            "test-clean": "held-out utterances; speakers may be those of the training utterances",
        },
        "utterances": {split: [utterance.name for utterance in part] for split, part in parts.items()},
        "seconds": seconds,
    }


def read_table(source: Path) -> list[Utterance]:
    """The utterances that `source`/utterances.tsv lists, each checked; UsageError for the first bad one."""
    utterances: dict[str, Utterance] = {}
    for place, row in tables.read(source / TABLE, COLUMNS, f"{TABLE} and the flac files that it lists"):
        utterance = _utterance(source, row, place)
        if utterance.name in utterances:
            raise UsageError(f"{place} gives {utterance.name} a second time")
        utterances[utterance.name] = utterance
    return list(utterances.values())


def _utterance(source: Path, row: dict[str, str], place: str) -> Utterance:
    name, file, words = (row[column] for column in COLUMNS)
    if not re.fullmatch(r"[0-9]+-[0-9]+-[0-9]+", name):
        raise UsageError(f"{place} has the id {name!r}, expected one such as 1688-142285-0003")
    audio = source / file
    if not audio.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{place} names the file {file}, expected one inside {source}")
    try:
        _, transcript = parse_line(f"{name} {words}")
        return Utterance(name, audio, decode(audio), transcript)
    except TranscriptProblem as problem:
        raise UsageError(f"{place} {problem}") from None
    except AudioProblem as problem:
        raise UsageError(f"{problem}; {place} names it, restore it or delete that line") from None


def _write(root: Path, split: str, utterances: Iterable[Utterance]) -> list[str]:
    """Lay one split out; the paths of its files, relative to `root`."""
    files: list[str] = []
    transcripts: dict[str, str] = {}
    for utterance in sorted(utterances, key=lambda utterance: utterance.name):
        speaker, chapter = utterance.chapter
        folder = f"{split}/{speaker}/{chapter}"
        name = f"{folder}/{utterance.name}.flac"
        link_or_copy(utterance.audio, root / name)
        files.append(name)
        listing = f"{folder}/{speaker}-{chapter}.trans.txt"
        transcripts[listing] = transcripts.get(listing, "") + format_line(
            utterance.name, utterance.transcript
        )
    for listing, text in transcripts.items():
        atomic_write_text(root / listing, text)
    return [*files, *transcripts]
