"""QUESST 2014: spoken queries and the documents in which they may be spoken, in six languages.

Layout of `quesst14Database`: `Audio/` (documents), `dev_queries/` and `eval_queries/` (wav, 8 kHz), and
`scoring/` with `language_key_{utterances,dev,eval}.lst` (for each file a line
`quesst14Database/FOLDER/NAME.wav LANGUAGE`) and `groundtruth_quesst14_{dev,eval}/` (which query is in which
document, see `scoring.groundtruth`). SUPERB searches queries of `nnenglish`, non-native English, in documents
of the same. Source: the data set, and s3prl 0.4.18's `downstream/quesst14_dtw/dataset.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from downstream_runs.core.corpus import PreparedData, Split
from downstream_runs.corpora import folders, texts
from downstream_runs.corpora.audio import FRAME, SAMPLE_RATE, AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from downstream_runs.scoring import groundtruth
from downstream_runs.scoring.groundtruth import GroundTruth
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

GET = "unpack https://speech.fit.vutbr.cz/files/quesst14Database.tgz"


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
    for split in SPLITS:
        problems += _not_in_truth(root, split, parts, truth[split])
    return Listing(
        root,
        {part: len(found) for part, found in parts.items()},
        {part: [AudioFile.at(one.path, root) for one in found] for part, found in parts.items()},
        Quesst14(parts[DOCUMENTS], {split: parts[split] for split in SPLITS}, truth),
        problems,
    )


def _recordings(request: Request, part: str, problems: list[str]) -> tuple[Recording, ...]:
    path = request.root / "scoring" / LISTS[part]
    found: dict[str, Recording] = {}
    for place, audio in _in_english(path):
        name = audio.stem
        if name in found:
            problems.append(f"{place}: {name} is listed twice, once was expected")
        elif not request.partial or (request.root / audio).is_file():
            found[name] = _recording(name, request.root / audio, problems)
    if not found:
        there = " that is there" * request.partial
        problems.insert(0, f"{path} lists no file of the language {LANGUAGE}{there}")
    return tuple(found.values())


def _in_english(path: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """The line's place and the path below the root of each file; the first folder is the root's name."""
    for place, line in texts.lines(path, f"{GET} again"):
        fields = line.split()
        parts = PurePosixPath(fields[0]).parts if fields else ()
        if len(fields) != 2 or len(parts) < 2 or ".." in parts or parts[0] == "/":
            raise UsageError(
                f"{place}: found {line[:80]!r}, expected '{FOLDER}/FOLDER/NAME.wav LANGUAGE'; {GET} again"
            )
        folders.require_writable(fields[0], place)
        if fields[1] == LANGUAGE:
            yield place, PurePosixPath(*parts[1:])


def _recording(name: str, path: Path, problems: list[str]) -> Recording:
    """The file's length by its header; a problem if it has none."""
    import soundfile

    seconds = 0.0
    if not path.is_file():
        problems.append(f"{path} is listed in the scoring folder and is not there")
    elif path.stat().st_size == 0:
        problems.append(f"{path} is empty (0 bytes)")
    else:
        try:
            header = soundfile.info(str(path))
            seconds = header.frames / header.samplerate
            if header.frames < FRAME * header.samplerate / SAMPLE_RATE:
                problems.append(
                    f"{path} has {header.frames:,} samples at {header.samplerate:,} Hz, at least "
                    f"{FRAME / SAMPLE_RATE:g} s were expected (one frame)"
                )
        except (soundfile.SoundFileError, OSError) as error:
            problems.append(f"{path} cannot be read as audio ({error})")
    return Recording(name, path, seconds)


def _not_in_truth(
    root: Path, split: str, parts: Mapping[str, tuple[Recording, ...]], truth: GroundTruth
) -> Iterator[str]:
    """Recordings that the ground truth does not have: nothing would score them."""
    folder = truth_folder(root, split)
    for kind, recordings, known in (
        ("queries", parts[split], truth.queries),
        ("documents", parts[DOCUMENTS], truth.documents),
    ):
        names = set(known)
        surplus = [recording.name for recording in recordings if recording.name not in names]
        if surplus:
            yield f"{len(surplus):,} listed {kind} are not in the ground truth {folder} (first: {surplus[0]})"
    english = {recording.name for recording in parts[DOCUMENTS]}
    if not any(truth.targets.get(query.name, frozenset()) & english for query in parts[split]):
        yield f"{folder} has no {LANGUAGE} query of {split} in a document of that language"


def _written(listing: Listing[Quesst14], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Nothing is written: the search reads the data set itself."""
    return PreparedData(listing.root, {}, listing.counts, content_hash(listing.content))


def content_hash(corpus: Quesst14) -> str:
    """SHA-256 over the names and lengths of the recordings and the ground truth."""
    digest = hashlib.sha256()
    for part, recordings in ((DOCUMENTS, corpus.documents), *corpus.queries.items()):
        for recording in recordings:
            digest.update(f"{part}\t{recording.name}\t{recording.seconds:.6f}\n".encode())
    for split in SPLITS:
        truth = corpus.truth[split]
        for names in (truth.queries, truth.documents, *(sorted(truth.targets[q]) for q in truth.queries)):
            digest.update(("\t".join(names) + "\n").encode())
    return digest.hexdigest()


def _is_root(root: Path) -> bool:
    return (root / "scoring" / LISTS[DOCUMENTS]).is_file()


CORPUS = CheckedCorpus(
    name="QUESST 2014, non-native English",
    licence="free for research, see the data set's own terms",
    size="23 hours of documents at 8 kHz, about 1.4 GB",
    url="https://speech.fit.vutbr.cz/files/quesst14Database.tgz",
    # 273 minutes of non-native English (Anguera et al. 2014, MediaEval overview); 2 seconds a query is an
    # assumption of this project.
    splits={
        DOCUMENTS: Split(2_438, 273 / 60),
        "dev": Split.of_mean(138, 2.0),
        "test": Split.of_mean(138, 2.0),
    },
    demo="downstream_runs.corpora.demo.quesst14",
    title="QUESST 2014",
    get=GET,
    places=(FOLDER,),
    holds=_is_root,
    sign=f"scoring/{LISTS[DOCUMENTS]}",
    official={DOCUMENTS: 2_438, "dev": 138, "eval": 138},
    items={DOCUMENTS: "recordings", "dev": "queries", "eval": "queries"},
    listed=_listed,
    written=_written,
    opened=False,
)
