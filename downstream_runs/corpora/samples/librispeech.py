"""A few real utterances as a LibriSpeech root: does the path learn, from audio to a word error rate?

The source has `utterances.tsv` (columns utt, file, transcript) and the flac files that it names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.corpora.audio import SAMPLE_RATE, AudioProblem, decode
from downstream_runs.corpora.samples import laid
from downstream_runs.corpora.transcripts import TranscriptProblem, format_line, parse_line
from upstream_arm.common.errors import UsageError

TABLE = "utterances.tsv"
COLUMNS = ("utt", "file", "transcript")


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
    """Lay utterances of `source` out in `dest`/LibriSpeech and return that folder, see `laid.lay_out`.

    Of the `usable` utterances the `train` shortest become train-clean-100 and, copied, dev-clean; the next
    shortest, `held_out` at most, become test-clean. UsageError for a source that cannot be used, before
    anything is written.
    """
    utterances = sorted(filter(usable, read_table(source)), key=lambda one: (one.samples, one.name))
    if train < 2 or held_out < 1 or len(utterances) <= train:
        raise UsageError(
            f"{train} training and {held_out} held-out utterances of the {len(utterances)} usable ones that "
            f"{source / TABLE} lists were asked for, at least 2 (s3prl drops a training batch of one) and 1 "
            "are needed"
        )
    chosen = utterances[:train]
    parts = {
        "train-clean-100": chosen,
        "dev-clean": chosen,
        "test-clean": utterances[train : train + held_out],
    }
    facts = laid.facts(
        "real speech, a tiny sample, not the official splits of LibriSpeech",
        source / TABLE,
        {
            "dev-clean": "copies of the training utterances",
            "test-clean": "held-out utterances; speakers may be those of the training utterances",
        },
        utterances={split: [one.name for one in part] for split, part in parts.items()},
        seconds={
            split: round(sum(one.samples for one in part) / SAMPLE_RATE, 3) for split, part in parts.items()
        },
    )
    audio: dict[str, Path] = {}
    lists: dict[str, str] = {}
    for split, part in parts.items():
        for one in sorted(part, key=lambda one: one.name):
            chapter = f"{split}/{'/'.join(one.chapter)}"
            audio[f"{chapter}/{one.name}.flac"] = one.audio
            listing = f"{chapter}/{'-'.join(one.chapter)}.trans.txt"
            lists[listing] = lists.get(listing, "") + format_line(one.name, one.transcript)
    what = f"{train} training utterances, which are dev-clean too, and others, speakers may be the same"
    return laid.lay_out(dest / "LibriSpeech", facts, what, audio, lists)


def read_table(source: Path) -> list[Utterance]:
    """The utterances that `source`/utterances.tsv lists, each checked; UsageError for the first bad one."""
    utterances: dict[str, Utterance] = {}
    for place, row, audio in laid.read(source / TABLE, COLUMNS):
        name = row["utt"]
        if not re.fullmatch(r"[0-9]+-[0-9]+-[0-9]+", name):
            raise UsageError(f"{place} has the id {name!r}, expected one such as 1688-142285-0003")
        if name in utterances:
            raise UsageError(f"{place} gives {name} a second time")
        try:
            _, transcript = parse_line(f"{name} {row['transcript']}")
            utterances[name] = Utterance(name, audio, decode(audio), transcript)
        except TranscriptProblem as problem:
            raise UsageError(f"{place} {problem}") from None
        except AudioProblem as problem:
            raise UsageError(f"{problem.what}; {place} names it, restore it or delete that line") from None
    return list(utterances.values())
