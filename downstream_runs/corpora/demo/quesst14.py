"""A synthetic corpus in QUESST 2014's layout: some minutes of speech, made in seconds.

48 English documents name two of 14 things each, and other voices say the things as queries; a few documents
and queries in other languages, and a query of each split that no document holds, are as in the real one.
Numbers measured on it carry the label "demo".
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from downstream_runs.corpora.demo.speech import Line, Voice, synthesise
from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.corpora.markers import DEMO, begin, finish, is_whole
from downstream_runs.corpora.outputs import writing
from downstream_runs.corpora.quesst14 import DOCUMENTS, FOLDER, LANGUAGE, LISTS, SPLITS, truth_folder
from downstream_runs.scoring import groundtruth
from downstream_runs.scoring.groundtruth import GroundTruth
from upstream_arm.common.files import atomic_path, atomic_write_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""To be raised with every change of what is said or by whom: an older corpus is then made anew."""

RATE = 8_000
"""Samples a second, as in the real corpus."""

THINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dev": (
            "elephant",
            "yellow umbrella",
            "telephone",
            "hospital",
            "seven potatoes",
            "kangaroo",
            "library",
        ),
        "eval": ("crocodile", "cauliflower", "green bicycle", "microscope", "calendar", "sunflower", "piano"),
    }
)
"""What the documents name; each is a query of its split."""

ABSENT: Mapping[str, str] = MappingProxyType({"dev": "submarine", "eval": "waterfall"})
"""Queries that are in no document: the scorer leaves them out."""

CARRIERS = (
    "please tell me about the {} and the {}",
    "we saw the {} near the {}",
    "the {} is behind the {} now",
    "nobody wanted the {} or the {}",
)
NUMBER = 48
VOICES = (
    Voice("en-us", "m1", pitch=45),
    Voice("en-us", "f2", pitch=50),
    Voice("en-us", "m3", pitch=50, rate=145),
    Voice("en-gb-x-rp", "f5", pitch=45, rate=130),
)
ASKING: Mapping[str, tuple[Voice, Voice]] = MappingProxyType(
    {
        "dev": (Voice("en-us", "m7", pitch=45), Voice("en-us", "f1", pitch=50)),
        "eval": (Voice("en-us", "m5", pitch=45), Voice("en-us", "f4", pitch=50)),
    }
)

FOREIGN: Mapping[str, tuple[Voice, tuple[str, ...], Mapping[str, str]]] = MappingProxyType(
    {
        "czech": (
            Voice("cs", "m1"),
            ("dobrý den, kde je nádraží", "koupil jsem nové auto", "dnes je krásné počasí"),
            {"dev": "nádraží", "eval": "auto"},
        ),
        "slovak": (
            Voice("sk", "f2"),
            ("kde je najbližšia nemocnica", "zajtra pôjdeme do mesta"),
            {"dev": "nemocnica", "eval": "mesta"},
        ),
    }
)
"""Language -> voice, documents, and by split a query that is in one of them."""

NOTICE = """This corpus is synthetic: a speech synthesiser (espeak-ng) said a few sentences and single words.

It has the layout of QUESST 2014 and nothing of its speech. It is made to try the whole path to a result file.
Numbers measured on it say nothing about an upstream and carry the label "demo". DEMO.json lists its files;
where it is absent only half of the corpus was made, and making it again completes it.
"""

INSTEAD = MappingProxyType(
    {
        "the list of documents": f"{NUMBER} synthetic English sentences",
        **{split: f"{len(THINGS[split]) + 1} synthetic English queries" for split in SPLITS},
    }
)


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


def make(root: Path, seed: int = 0) -> Path:
    """Make the corpus in `root`/quesst14Database and return that folder.

    `seed` draws which document names what. A corpus that is whole is left as it is; one that is half made,
    changed, or of another seed is made again. Raises UsageError if espeak-ng is not installed, if the folder
    holds something else, and if it cannot be written to.
    """
    target = root.expanduser().absolute() / FOLDER
    facts: dict[str, Any] = {"version": VERSION, "seed": seed, "instead": dict(INSTEAD)}
    if is_whole(target, DEMO, facts):
        return target
    plan = _plan(seed)
    # Spoken before anything is written: without the synthesiser no empty corpus is left behind.
    waves = synthesise([file.line for file in plan])
    with writing(target):
        begin(target, DEMO, NOTICE)
        files = _write(target, plan, waves)
        seconds = round(sum(len(wave) for wave in waves) / SAMPLE_RATE, 3)
        finish(target, DEMO, {**facts, "recordings": len(plan), "seconds": seconds}, files)
    return target


def _plan(seed: int) -> list[_File]:
    """Every recording; documents of all languages are mixed, as in the real lists."""
    source = random.Random(seed)
    things = [thing for split in SPLITS for thing in THINGS[split]]
    drawn: list[str] = []
    while len(drawn) < 2 * NUMBER:
        drawn += source.sample(things, len(things))
    spoken = [(LANGUAGE, line) for line in _sentences(drawn, source)]
    for language, (voice, texts, _) in FOREIGN.items():
        spoken += [(language, Line(text, voice)) for text in texts]
    source.shuffle(spoken)
    plan = [
        _File(DOCUMENTS, f"quesst14_{number:05d}", language, line)
        for number, (language, line) in enumerate(spoken, start=1)
    ]
    for split in SPLITS:
        asked = [(LANGUAGE, thing, ASKING[split][n % 2]) for n, thing in enumerate(THINGS[split])]
        asked.append((LANGUAGE, ABSENT[split], ASKING[split][0]))
        asked += [(language, said[split], voice) for language, (voice, _, said) in FOREIGN.items()]
        plan += [
            _File(split, f"quesst14_{split}_{number:04d}", language, Line(text, voice))
            for number, (language, text, voice) in enumerate(asked, start=1)
        ]
    return plan


def _sentences(drawn: list[str], source: random.Random) -> list[Line]:
    """Documents that name two different things each, all voices and carriers in turn."""
    lines = []
    for number in range(NUMBER):
        first, second = drawn[2 * number : 2 * number + 2]
        if first == second:
            second = source.choice([thing for thing in drawn if thing != first])
        carrier = CARRIERS[number % len(CARRIERS)]
        lines.append(Line(carrier.format(first, second), VOICES[(number // len(CARRIERS)) % len(VOICES)]))
    return lines


def _write(root: Path, plan: list[_File], waves: list[NDArray[np.float32]]) -> list[str]:
    """Write audio, lists and ground truths; the paths of all files, relative to `root`."""
    seconds = {}
    for file, wave in zip(plan, waves, strict=True):
        seconds[file.name] = _write_wav(root / file.path, wave)
    files = [file.path for file in plan]
    for part, name in LISTS.items():
        lines = [f"{FOLDER}/{file.path} {file.language}\n" for file in plan if file.part == part]
        atomic_write_text(root / "scoring" / name, "".join(lines))
        files.append(f"scoring/{name}")
    for split in SPLITS:
        folder = truth_folder(root, split)
        groundtruth.write(folder, f"quesst14_{split}", _truth(plan, split), seconds)
        files += [path.relative_to(root).as_posix() for path in sorted(folder.iterdir())]
    return files


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


def _write_wav(path: Path, wave: NDArray[np.float32]) -> float:
    """Write 16 kHz samples at 8 kHz; returns the length in seconds."""
    import numpy as np
    import soundfile
    import soxr

    samples = np.rint(soxr.resample(wave, SAMPLE_RATE, RATE).clip(-1, 1) * 32767).astype(np.int16)
    with atomic_path(path) as temporary:
        soundfile.write(str(temporary), samples, RATE, format="WAV", subtype="PCM_16")
    return len(samples) / RATE
