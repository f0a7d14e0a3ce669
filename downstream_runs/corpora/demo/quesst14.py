"""A synthetic corpus in QUESST 2014's layout: some minutes of speech, made in seconds.

48 English documents name two of 14 things each, and other voices say the things as queries; a few documents
and queries in other languages, and a query of each split that no document holds, are as in the real one.
Numbers measured on it carry the label "demo".
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soxr

from downstream_runs.corpora import texts
from downstream_runs.corpora.audio import SAMPLE_RATE
from downstream_runs.corpora.demo import made
from downstream_runs.corpora.demo.speech import Line, synthesise
from downstream_runs.corpora.quesst14 import DOCUMENTS, FOLDER, LANGUAGE, LISTS, SPLITS, truth_folder
from downstream_runs.scoring import groundtruth
from downstream_runs.scoring.groundtruth import GroundTruth

RATE = 8_000
"""Samples a second, as in the real corpus."""

_DATA = made.data()["quesst14"]
THINGS: Mapping[str, Sequence[str]] = _DATA["things"]
"""What the documents name; each is a query of its split."""

NUMBER = 48

VOICES: Mapping[str, Any] = made.voices("quesst14")
"""Those of the documents, those that ask in each split, and one of each other language."""

INSTEAD = {
    "the list of documents": f"{NUMBER} synthetic English sentences",
    **{split: f"{len(THINGS[split]) + 1} synthetic English queries" for split in SPLITS},
}


@dataclass(frozen=True)
class _File:
    """One recording: the part that it belongs to, its language, and what is said in it."""

    part: str
    name: str
    language: str
    line: Line

    @property
    def path(self) -> str:
        """Relative to the root."""
        return f"{'Audio' if self.part == DOCUMENTS else f'{self.part}_queries'}/{self.name}.wav"


@made.corpus(FOLDER, "a few sentences and single words", seed=made.SEED, instead=INSTEAD)
def make() -> made.Content:
    """The recordings, their lists and the ground truth."""

    plan = _plan()
    waves = synthesise([file.line for file in plan])

    def write(root: Path, samples: Mapping[str, int]) -> list[str]:
        for part, name in LISTS.items():
            lines = (f"{FOLDER}/{file.path} {file.language}\n" for file in plan if file.part == part)
            texts.write(root / "scoring" / name, "".join(lines))
        lengths = {file.name: samples[file.path] / RATE for file in plan}
        for split in SPLITS:
            groundtruth.write(truth_folder(root, split), f"quesst14_{split}", _truth(plan, split), lengths)
        written = (path for path in sorted((root / "scoring").rglob("*")) if path.is_file())
        return [path.relative_to(root).as_posix() for path in written]

    return made.Content(
        {file.path: soxr.resample(wave, SAMPLE_RATE, RATE) for file, wave in zip(plan, waves, strict=True)},
        {"recordings": len(plan), "seconds": made.seconds(waves)},
        write=write,
        rate=RATE,
    )


def _plan() -> list[_File]:
    """Every recording; documents of all languages are mixed, as in the real lists."""
    source = random.Random(made.SEED)
    things = [thing for split in SPLITS for thing in THINGS[split]]
    drawn: list[str] = []
    while len(drawn) < 2 * NUMBER:
        drawn += source.sample(things, len(things))
    spoken = [(LANGUAGE, line) for line in _sentences(drawn, source)]
    for language, foreign in _DATA["foreign"].items():
        spoken += [(language, Line(text, VOICES[language])) for text in foreign["documents"]]
    source.shuffle(spoken)
    plan = [
        _File(DOCUMENTS, f"quesst14_{number:05d}", language, line)
        for number, (language, line) in enumerate(spoken, start=1)
    ]
    for split in SPLITS:
        asked = [(LANGUAGE, thing, VOICES[split][n % 2]) for n, thing in enumerate(THINGS[split])]
        asked.append((LANGUAGE, _DATA["absent"][split], VOICES[split][0]))
        asked += [
            (language, foreign["queries"][split], VOICES[language])
            for language, foreign in _DATA["foreign"].items()
        ]
        plan += [
            _File(split, f"quesst14_{split}_{number:04d}", language, Line(text, voice))
            for number, (language, text, voice) in enumerate(asked, start=1)
        ]
    return plan


def _sentences(drawn: list[str], source: random.Random) -> list[Line]:
    """Documents that name two different things each, all voices and carriers in turn."""
    lines, voices, carriers = [], VOICES[DOCUMENTS], _DATA["carriers"]
    for number in range(NUMBER):
        first, second = drawn[2 * number : 2 * number + 2]
        if first == second:
            second = source.choice([thing for thing in drawn if thing != first])
        carrier = carriers[number % len(carriers)]
        lines.append(Line(carrier.format(first, second), voices[(number // len(carriers)) % len(voices)]))
    return lines


def _truth(plan: list[_File], split: str) -> GroundTruth:
    """A query is in the documents of its language that have its words."""
    documents = [file for file in plan if file.part == DOCUMENTS]
    queries = [file for file in plan if file.part == split]
    return GroundTruth(
        tuple(query.name for query in queries),
        tuple(document.name for document in documents),
        {
            query.name: frozenset(
                document.name
                for document in documents
                if document.language == query.language and query.line.text in document.line.text
            )
            for query in queries
        },
    )
