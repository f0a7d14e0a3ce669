"""QUESST 2014: spoken queries and the documents in which they may be spoken, in six languages.

Layout of `quesst14Database`: `Audio/` (documents), `dev_queries/` and `eval_queries/` (wav, 8 kHz), and
`scoring/` with `language_key_{utterances,dev,eval}.lst` (for each file a line
`quesst14Database/FOLDER/NAME.wav LANGUAGE`) and `groundtruth_quesst14_{dev,eval}/` (which query is in which
document, see `scoring.groundtruth`). SUPERB searches queries of `nnenglish`, non-native English, in documents
of the same. Source: the data set, and s3prl 0.4.18's `downstream/quesst14_dtw/dataset.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from downstream_runs.audio import AudioProblem
from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import audio, checks, folders, texts
from downstream_runs.corpora.audio import FRAME, SAMPLE_RATE, AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from downstream_runs.scoring import groundtruth
from downstream_runs.scoring.groundtruth import GroundTruth
from downstream_runs.scoring.names import ScoringError
from upstream_arm.common.errors import UsageError

FOLDER = "quesst14Database"
LANGUAGE = "nnenglish"
SPLITS = ("dev", "eval")
DOCUMENTS = "documents"

LISTS: Mapping[str, str] = {
    DOCUMENTS: "language_key_utterances.lst",
    "dev": "language_key_dev.lst",
    "eval": "language_key_eval.lst",
}


@dataclass(frozen=True)
class Recording:
    """One file: its name without folder and ending, as queries and documents are called, and its length."""

    name: str
    path: Path
    seconds: float


@dataclass(frozen=True)
class Quesst14:
    """The part of the data set that is searched, in the order of its lists, and the whole ground truth.

    queries, truth: by split. `truth[split]` is of all languages: see `searched`.
    """

    documents: tuple[Recording, ...]
    queries: Mapping[str, tuple[Recording, ...]]
    truth: Mapping[str, GroundTruth]

    def searched(self, split: str) -> GroundTruth:
        """The ground truth of the queries and documents that are searched."""
        return self.truth[split].restricted(
            [query.name for query in self.queries[split]], [document.name for document in self.documents]
        )


def load(data: Path, partial: bool = False) -> Quesst14:
    """The searched part of the data set in `data`, or with that root; UsageError as of `CORPUS.look`."""
    listing = _listed(CORPUS.request(data, None, {}, partial))
    CORPUS.standing(listing, partial)
    return listing.content


def truth_folder(root: Path, split: str) -> Path:
    """The folder of a split's ground truth."""
    return root / "scoring" / f"groundtruth_quesst14_{split}"


def _listed(request: Request) -> Listing[Quesst14]:
    """The queries and documents in English with their lengths by their headers, and the ground truth."""
    root, problems = request.root, list[str]()
    parts = {part: _recordings(request, part, problems) for part in LISTS}
    truth = {split: groundtruth.read(truth_folder(root, split)) for split in SPLITS}
    found = Quesst14(parts[DOCUMENTS], {split: parts[split] for split in SPLITS}, truth)
    for split in SPLITS:
        # What the ground truth does not have, nothing would score.
        try:
            searched = found.searched(split)
        except ScoringError as error:
            problems.append(f"{truth_folder(root, split)}: {error}")
            continue
        if not any(searched.targets.values()):
            problems.append(
                f"{truth_folder(root, split)} has no {LANGUAGE} query of {split} in a document of that "
                "language"
            )
    files = {part: [AudioFile.at(one.path, root) for one in listed] for part, listed in parts.items()}
    return Listing(root, files, found, problems)


def _recordings(request: Request, part: str, problems: list[str]) -> tuple[Recording, ...]:
    path = request.root / "scoring" / LISTS[part]
    found: dict[str, Recording] = {}
    for place, below in _in_english(path):
        name, file = below.stem, request.root / below
        if name in found:
            problems.append(f"{place}: {name} is listed twice, once was expected")
        elif not request.partial or folders.is_file(file):
            try:
                found[name] = Recording(name, file, _seconds(file))
            except AudioProblem as problem:
                found[name] = Recording(name, file, 0.0)
                problems.append(problem.what)
    if not found:
        there = " that is there" * request.partial
        problems.insert(0, f"{path} lists no file of the language {LANGUAGE}{there}")
    return tuple(found.values())


def _in_english(path: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """The line's place and the path below the root of each file; the first folder is the root's name."""
    for place, line in texts.lines(path, f"{CORPUS.get} again"):
        fields = line.split()
        parts = PurePosixPath(fields[0]).parts if fields else ()
        if len(fields) != 2 or len(parts) < 2 or ".." in parts or parts[0] == "/":
            raise UsageError(
                f"{place}: found {line[:80]!r}, expected '{FOLDER}/FOLDER/NAME.wav LANGUAGE'; "
                f"{CORPUS.get} again"
            )
        folders.require_writable(fields[0], place)
        if fields[1] == LANGUAGE:
            yield place, PurePosixPath(*parts[1:])


def _seconds(path: Path) -> float:
    """The file's length by its header; AudioProblem if it has none, or less than a frame."""
    form = audio.form(path)
    if form.samples < FRAME * form.rate / SAMPLE_RATE:
        raise AudioProblem(
            f"{path} has {form.samples:,} samples at {form.rate:,} Hz, at least {FRAME / SAMPLE_RATE:g} s "
            "were expected (one frame)"
        )
    return form.samples / form.rate


def _written(listing: Listing[Quesst14], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Nothing is written: the search reads the data set itself.

    The hash is over the names and lengths of the recordings and the ground truth.
    """
    corpus = listing.content
    pieces = [
        f"{part}\t{recording.name}\t{recording.seconds:.6f}\n"
        for part, recordings in ((DOCUMENTS, corpus.documents), *corpus.queries.items())
        for recording in recordings
    ]
    for split in SPLITS:
        truth = corpus.truth[split]
        for names in (truth.queries, truth.documents, *(sorted(truth.targets[q]) for q in truth.queries)):
            pieces.append("\t".join(names) + "\n")
    return listing.prepared(texts.digest(pieces), {})


CORPUS = CheckedCorpus(**checks.facts("quesst14"), listed=_listed, written=_written)
