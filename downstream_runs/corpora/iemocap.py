"""IEMOCAP: where it is, whether it is whole, and the metadata that s3prl reads, derived from its labels.

`Session<1-5>/dialog/EmoEvaluation/<dialogue>.txt` has, among others, a line an utterance,
`[start - end]<TAB>utterance<TAB>emotion<TAB>[valence, activation, dominance]`; the audio of an utterance is
`Session<k>/sentences/wav/<dialogue>/<utterance>.wav`. Four classes are used, with excited counted as happy
(SUPERB, section 3; s3prl 0.4.18, downstream/emotion/IEMOCAP_preprocess.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from downstream_runs.core.corpus import Corpus, PreparedData, Split, Standing
from downstream_runs.corpora import folders, markers, wavs
from downstream_runs.corpora.iemocap_order import DIALOGUES, TEST_BLOBS, TRAIN_BLOBS
from downstream_runs.corpora.pinned import bytes_id
from upstream_arm.common.errors import UsageError

FOLDERS = ("IEMOCAP_full_release", "IEMOCAP")
"""The folder in the corpus's archive, and the one that s3prl's documentation names."""

SESSIONS = (1, 2, 3, 4, 5)
FOLDS = tuple(f"fold{number}" for number in SESSIONS)
LABEL_FOLDER, AUDIO_FOLDER = "dialog/EmoEvaluation", "sentences/wav"

CLASSES: Mapping[str, int] = MappingProxyType({"neu": 0, "hap": 1, "ang": 2, "sad": 3})
"""The four classes and their outputs in s3prl's head."""

MERGED: Mapping[str, str] = MappingProxyType({**{name: name for name in CLASSES}, "exc": "hap"})
"""IEMOCAP's labels that are used, and the class of each."""

OFFICIAL_UTTERANCES: Mapping[int, int] = MappingProxyType({1: 1_085, 2: 1_023, 3: 1_151, 4: 1_031, 5: 1_241})
"""Utterances of the four classes in each session: 5,531, as in s3prl's metadata."""


@dataclass(frozen=True)
class Utterance:
    """One labelled utterance: its wav relative to the root, its class, and its dialogue."""

    path: str
    label: str

    @property
    def name(self) -> str:
        """Such as `Ses01F_impro01_F000`."""
        return Path(self.path).stem

    @property
    def dialogue(self) -> str:
        """Such as `Ses01F_impro01`."""
        return self.name.rpartition("_")[0]

    @property
    def speaker(self) -> str:
        """Who speaks: the session, and F or M of the turn (the dialogue's says who wears the markers)."""
        return self.name[:5] + self.name.rpartition("_")[2][:1]


def find_root(data: Path) -> Path:
    """The root in `data`: DATA/IEMOCAP_full_release, DATA/IEMOCAP, or DATA itself if it holds a session."""
    return wavs.find(
        data,
        FOLDERS,
        lambda path: any((path / f"Session{number}").is_dir() for number in SESSIONS),
        "IEMOCAP, a folder that holds Session1 to Session5, and {found}; unpack the archive that USC sends "
        "there (sail.usc.edu/iemocap), or try the whole path on synthetic speech with --demo",
    )


def read(root: Path, partial: bool = False) -> Mapping[int, tuple[Utterance, ...]]:
    """The labelled utterances of the four classes, session by session, in the order of s3prl's metadata.

    UsageError for a session that is missing, a label line that cannot be read, and a labelled utterance
    without audio (stock s3prl leaves it out without a word; so does `partial`). Of a corpus that is not made
    the sessions that there are; `standing` counts them.
    """
    numbers = SESSIONS if markers.marks(root) else present(root)
    return {number: _session(root, number, partial) for number in numbers}


def require_two(root: Path, sessions: Mapping[int, Sequence[Utterance]]) -> None:
    """UsageError for a single session: what is tested on it must be trained on another."""
    if len(sessions) < 2:
        raise UsageError(
            f"{root} has {len(sessions)} of {len(SESSIONS)} sessions, at least two were expected: emotion "
            "recognition is tested on a session that it is not trained on; add another session of IEMOCAP"
        )


def present(root: Path) -> tuple[int, ...]:
    """The sessions that there are folders of."""
    return tuple(number for number in SESSIONS if (root / f"Session{number}").is_dir())


def _session(root: Path, number: int, partial: bool) -> tuple[Utterance, ...]:
    folder = root / f"Session{number}"
    for part in (LABEL_FOLDER, AUDIO_FOLDER):
        if not (folder / part).is_dir():
            raise UsageError(
                f"there is no folder {folder / part}: all five sessions are needed, since emotion "
                "recognition is reported as the mean of five folds; unpack IEMOCAP again"
            )
    tables = folders.files(folder / LABEL_FOLDER, ".txt")
    order = {name: place for place, name in enumerate(DIALOGUES[number])}
    found = [
        utterance
        for table in sorted(tables, key=lambda path: (order.get(path.stem, len(order)), path.stem))
        for utterance in _dialogue(root, number, table, partial)
    ]
    if not found:
        raise UsageError(
            f"{folder / LABEL_FOLDER} labels no utterance as one of {', '.join(MERGED)}; unpack IEMOCAP again"
        )
    return tuple(found)


def _dialogue(root: Path, number: int, table: Path, partial: bool) -> list[Utterance]:
    """The utterances of one dialogue by name, which is the order in its table."""
    found: dict[str, Utterance] = {}
    try:
        lines = table.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{table} cannot be read as text ({error}); unpack IEMOCAP again") from None
    for place, line in enumerate(lines, start=1):
        if not line.startswith("["):
            continue
        fields = [field.strip() for field in line.split("\t") if field.strip()]
        if len(fields) < 3 or not re.fullmatch(rf"Ses0{number}[FM]_\w+_[FM]\w*", fields[1]):
            raise UsageError(
                f"{table} line {place} is {line.strip()!r}, expected [start - end], an utterance such as "
                f"{table.stem}_F000 and its emotion, with tabs between them; unpack IEMOCAP again"
            )
        name, label = fields[1], MERGED.get(fields[2])
        if name in found:
            raise UsageError(f"{table} line {place} labels {name} a second time; unpack IEMOCAP again")
        if label is not None:
            path = f"Session{number}/{AUDIO_FOLDER}/{name.rpartition('_')[0]}/{name}.wav"
            if partial and not (root / path).is_file():
                continue
            if not (root / path).is_file():
                raise UsageError(
                    f"{table} line {place} labels {name}, and there is no {root / path}; unpack "
                    f"Session{number}/{AUDIO_FOLDER} of IEMOCAP again"
                )
            found[name] = Utterance(path, label)
    return [found[name] for name in sorted(found)]


def check(root: Path, sessions: Mapping[int, tuple[Utterance, ...]], *, decode: int | None) -> list[str]:
    """What keeps the corpus from being used, a sentence each; `decode` files of each session are decoded."""
    found = []
    for number, utterances in sessions.items():
        absent = sorted(CLASSES.keys() - {utterance.label for utterance in utterances})
        if absent:
            found.append(
                f"{root / f'Session{number}' / LABEL_FOLDER} labels no utterance as {', '.join(absent)}"
            )
        files = [root / utterance.path for utterance in utterances]
        found += wavs.problems(files, decode, f"session {number}")
    return found


def metadata(sessions: Mapping[int, Sequence[Utterance]], fold: int) -> tuple[str, str]:
    """s3prl's `train_meta_data.json` and `test_meta_data.json` of a fold: all sessions but `fold`, and it."""
    train = [one for number in sessions if number != fold for one in sessions[number]]
    return _json(train), _json(sessions[fold])


def _json(utterances: Sequence[Utterance]) -> str:
    listed = [
        {"path": one.path, "label": one.label, "speaker": one.name.partition("_")[0]} for one in utterances
    ]
    return json.dumps({"labels": dict(CLASSES), "meta_data": listed})


def write_metadata(sessions: Mapping[int, Sequence[Utterance]], folder: Path) -> Path:
    """Write the metadata of all folds below `folder` and return it; UsageError if that cannot be done."""
    from downstream_runs.corpora.outputs import writing
    from upstream_arm.common.files import atomic_write_text

    with writing(folder):
        for fold in sessions:
            train, test = metadata(sessions, fold)
            atomic_write_text(folder / f"Session{fold}" / "train_meta_data.json", train)
            atomic_write_text(folder / f"Session{fold}" / "test_meta_data.json", test)
    return folder


def standing(root: Path, sessions: Mapping[int, Sequence[Utterance]], partial: bool) -> Standing:
    """What the corpus is beside the one of SUPERB's numbers; UsageError as of `markers.standing`."""
    counts = [
        markers.Count(f"Session{number}", len(sessions.get(number, ())), official)
        for number, official in OFFICIAL_UTTERANCES.items()
    ]
    found = markers.standing(root, counts, partial, "unpack IEMOCAP again")
    if markers.marks(root):
        return found
    if found.partial:
        absent = len(SESSIONS) - len(sessions)
        mean = f"the mean is over {len(sessions)} of {len(SESSIONS)} folds"
        return found.and_also([mean] if absent else [])
    others = [fold for fold in SESSIONS if not _is_official(metadata(sessions, fold), fold)]
    named = ", ".join(f"fold{fold}" for fold in others)
    differ = f"the metadata derived for {named} differ from s3prl's, so that other utterances may be drawn"
    return found.and_also([f"{differ} for dev"] if others else [])


def _is_official(texts: tuple[str, str], fold: int) -> bool:
    return [bytes_id(text.encode()) for text in texts] == [TRAIN_BLOBS[fold], TEST_BLOBS[fold]]


def content_hash(root: Path, sessions: Mapping[int, Sequence[Utterance]]) -> str:
    """Over the names and sizes of the audio, and the classes."""
    files = [root / utterance.path for utterances in sessions.values() for utterance in utterances]
    return wavs.listing_hash(root, files, [_json(listed) for listed in sessions.values()])


def look(data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False) -> Standing:
    """Hold IEMOCAP under `data` against its labels and counts."""
    return _read(data, partial, decode=0)[2]


def _read(
    data: Path, partial: bool, decode: int
) -> tuple[Path, Mapping[int, tuple[Utterance, ...]], Standing]:
    """The root, the utterances of each session, and what the corpus is."""
    root = find_root(data).resolve()
    partial = partial and not markers.marks(root)
    sessions = read(root, partial)
    made = markers.labels(root)
    found = standing(root, sessions, partial)
    require_two(root, sessions)
    wavs.require_good(
        check(root, sessions, decode=decode),
        f"delete {root} and make the {' and '.join(made)} corpus again"
        if made
        else "unpack IEMOCAP again, or try the path first with --demo",
    )
    return root, sessions, found


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find IEMOCAP under `data`, check all five sessions, and derive the metadata that s3prl reads."""
    datarc = config["downstream_expert"]["datarc"]
    fold = FOLDS.index(datarc["test_fold"]) + 1
    root, sessions, found = _read(data, partial, decode=4)
    digest = content_hash(root, sessions)
    metadata = write_metadata(sessions, cache.resolve() / f"iemocap-{digest[:12]}")
    others = sum(len(utterances) for number, utterances in sessions.items() if number != fold)
    # s3prl's own expression, rounding included.
    train = int((1 - datarc["valid_ratio"]) * others)
    return PreparedData(
        root=root,
        settings={"datarc.root": str(root), "datarc.meta_data": str(metadata)},
        utterances={"train": train, "dev": others - train, "test": len(sessions[fold])},
        audio=tuple(root / one.path for utterances in sessions.values() for one in utterances),
        sha256=digest,
        **found.facts,
        groups={utterance.name: utterance.speaker for utterance in sessions[fold]},
    )


def folds_of(data: Path) -> tuple[str, ...]:
    """The folds of the sessions that are there, where there are two or more; else all, to be refused."""
    try:
        there = present(find_root(data))
    except UsageError:
        return FOLDS
    return tuple(FOLDS[number - 1] for number in there) if len(there) > 1 else FOLDS


def _make_demo(folder: Path) -> Path:
    """The synthetic corpus in IEMOCAP's layout, made in `folder`."""
    from downstream_runs.corpora.demo import iemocap

    return iemocap.make(folder)


CORPUS = Corpus(
    name="IEMOCAP",
    licence="USC's own, for research; granted on request",
    size="12 GB",
    url="https://sail.usc.edu/iemocap/",
    splits={
        "train": Split.of_mean(3_540, 4.5),
        "dev": Split.of_mean(885, 4.5),
        "test": Split.of_mean(1_106, 4.5),
    },
    look=look,
    prepare=prepare,
    make_demo=_make_demo,
)
