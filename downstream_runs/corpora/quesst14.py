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
from types import MappingProxyType
from typing import Any

from downstream_runs.core.corpus import Corpus, PreparedData, Split, Standing
from downstream_runs.corpora import folders, markers
from downstream_runs.corpora.audio import FRAME
from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.corpora.markers import marks
from downstream_runs.scoring import groundtruth
from downstream_runs.scoring.groundtruth import GroundTruth
from upstream_arm.common.errors import UsageError

FOLDER = "quesst14Database"
LANGUAGE = "nnenglish"
SPLITS = ("dev", "eval")
DOCUMENTS = "documents"

LISTS: Mapping[str, str] = MappingProxyType(
    {
        DOCUMENTS: "language_key_utterances.lst",
        "dev": "language_key_dev.lst",
        "eval": "language_key_eval.lst",
    }
)
OFFICIAL: Mapping[str, int] = MappingProxyType({DOCUMENTS: 2438, "dev": 138, "eval": 138})
"""Files of the language `nnenglish`."""

GET = "unpack quesst14Database.tgz (speech.fit.vutbr.cz) again, or try the whole path with --demo"


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

    root: Path
    documents: tuple[Recording, ...]
    queries: Mapping[str, tuple[Recording, ...]]
    truth: Mapping[str, GroundTruth]

    def searched(self, split: str) -> GroundTruth:
        """The ground truth of the queries and documents that are searched."""
        return self.truth[split].restricted(
            [query.name for query in self.queries[split]], [document.name for document in self.documents]
        )


def find_root(data: Path) -> Path:
    """The data set in `data`: DATA/quesst14Database, or DATA itself; UsageError if neither is it."""
    data = folders.place(data)
    for candidate in (data / FOLDER, data):
        if (candidate / "scoring" / LISTS[DOCUMENTS]).is_file():
            return candidate
    raise UsageError(
        f"no QUESST 2014 in {data}: looked for scoring/{LISTS[DOCUMENTS]} in {data / FOLDER} and in {data}, "
        "and neither has it; unpack https://speech.fit.vutbr.cz/files/quesst14Database.tgz there, or try the "
        "whole path on synthetic speech with --demo"
    )


def load(root: Path, partial: bool = False) -> Quesst14:
    """The queries and documents in English with their lengths, and the ground truth, all of it checked.

    Every list, count, file header and name is checked. Raises UsageError with the first problem and the
    number of others. With `partial` any number will do, and listed files that are absent are left out.
    """
    problems: list[str] = []
    partial = partial and not marks(root)
    parts = {part: _recordings(root, part, problems, partial) for part in LISTS}
    if all(parts.values()) and not partial:
        _standing(root, parts, partial)
    truth = {split: groundtruth.read(truth_folder(root, split)) for split in SPLITS}
    for split in SPLITS:
        problems.extend(_unknown(root, split, parts, truth[split]))
    if problems:
        others = len(problems) - 1
        more = f" (and {others:,} more problem{'s'[: others - 1]})" if others else ""
        advice = f"delete {root} and make it again" if marks(root) else GET
        raise UsageError(f"{problems[0]}{more}; {advice}")
    return Quesst14(root, parts[DOCUMENTS], {split: parts[split] for split in SPLITS}, truth)


def standing(corpus: Quesst14, partial: bool) -> Standing:
    """What the data set is beside the official one; UsageError as of `markers.standing`."""
    return _standing(corpus.root, {DOCUMENTS: corpus.documents, **corpus.queries}, partial)


def _standing(root: Path, parts: Mapping[str, tuple[Recording, ...]], partial: bool) -> Standing:
    what = {DOCUMENTS: "recordings"}
    counts = [
        markers.Count(part, len(found), OFFICIAL[part], what.get(part, "queries"))
        for part, found in parts.items()
    ]
    return markers.standing(root, counts, partial, GET.partition(", or")[0])


def truth_folder(root: Path, split: str) -> Path:
    """The folder of a split's ground truth."""
    return root / "scoring" / f"groundtruth_quesst14_{split}"


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


def _recordings(root: Path, part: str, problems: list[str], partial: bool) -> tuple[Recording, ...]:
    path = root / "scoring" / LISTS[part]
    found: dict[str, Recording] = {}
    for number, audio in _listed(path):
        name = audio.stem
        if name in found:
            problems.append(f"{path}, line {number}: {name} is listed twice, once was expected")
            continue
        if partial and not (root / audio).is_file():
            continue
        found[name] = _recording(name, root / audio, problems)
    if not found:
        problems.insert(0, f"{path} lists no file of the language {LANGUAGE}" + " that is there" * partial)
    return tuple(found.values())


def _listed(path: Path) -> Iterator[tuple[int, PurePosixPath]]:
    """Line number and path below the root of each file in English; the first folder is the root's name."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; {GET}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}); {GET}") from None
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        parts = PurePosixPath(fields[0]).parts if fields else ()
        if len(fields) != 2 or len(parts) < 2 or ".." in parts or parts[0] == "/":
            raise UsageError(
                f"{path}, line {number}: found {line[:80]!r}, expected "
                f"'{FOLDER}/FOLDER/NAME.wav LANGUAGE'; {GET}"
            )
        folders.require_writable(fields[0], f"{path}, line {number}")
        if fields[1] == LANGUAGE:
            yield number, PurePosixPath(*parts[1:])


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


def _unknown(
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


def look(data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False) -> Standing:
    """The same checks as `prepare`: they decode nothing."""
    return _load(data, partial)[1]


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find QUESST 2014 under `data` and check what is searched; nothing is written."""
    corpus, found = _load(data, partial)
    return PreparedData(
        root=corpus.root,
        settings={},
        utterances={
            DOCUMENTS: len(corpus.documents),
            **{split: len(queries) for split, queries in corpus.queries.items()},
        },
        audio=tuple(one.path for part in (corpus.documents, *corpus.queries.values()) for one in part),
        sha256=content_hash(corpus),
        **found.facts,
    )


def _load(data: Path, partial: bool) -> tuple[Quesst14, Standing]:
    """The searched part of the data set, and what it is beside the official one."""
    corpus = load(find_root(data).resolve(), partial)
    return corpus, standing(corpus, partial)


def _make_demo(folder: Path) -> Path:
    """The synthetic corpus in QUESST 2014's layout, made in `folder`."""
    from downstream_runs.corpora.demo import quesst14

    return quesst14.make(folder)


CORPUS = Corpus(
    name="QUESST 2014, non-native English",
    licence="free for research, see the data set's own terms",
    size="23 hours of documents at 8 kHz, about 1.4 GB",
    url="https://speech.fit.vutbr.cz/files/quesst14Database.tgz",
    splits={
        DOCUMENTS: Split(2_438, 273 / 60),
        "dev": Split.of_mean(138, 2.0),
        "test": Split.of_mean(138, 2.0),
    },
    look=look,
    prepare=prepare,
    make_demo=_make_demo,
)
