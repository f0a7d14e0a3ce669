"""IEMOCAP, and the metadata that s3prl reads, derived from its labels.

`Session<1-5>/dialog/EmoEvaluation/<dialogue>.txt` has, among others, a line an utterance,
`[start - end]<TAB>utterance<TAB>emotion<TAB>[valence, activation, dominance]`; the audio of an utterance is
`Session<k>/sentences/wav/<dialogue>/<utterance>.wav`. Four classes are used, with excited counted as happy
(SUPERB, section 3; s3prl 0.4.18, downstream/emotion/IEMOCAP_preprocess.py).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData, Problem
from downstream_runs.corpora import audio, checks, folders, texts
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from downstream_runs.corpora.markers import labels
from downstream_runs.corpora.pinned import bytes_id
from upstream_arm.common.errors import UsageError

SESSIONS = (1, 2, 3, 4, 5)
FOLDS = tuple(f"fold{number}" for number in SESSIONS)
LABEL_FOLDER, AUDIO_FOLDER = "dialog/EmoEvaluation", "sentences/wav"

CLASSES: Mapping[str, int] = {"neu": 0, "hap": 1, "ang": 2, "sad": 3}
"""The four classes and their outputs in s3prl's head."""

MERGED: Mapping[str, str] = {**{name: name for name in CLASSES}, "exc": "hap"}
"""IEMOCAP's labels that are used, and the class of each."""


@dataclass(frozen=True)
class Utterance:
    """One labelled utterance: its wav relative to the root, and its class."""

    path: str
    label: str

    @property
    def name(self) -> str:
        """Such as `Ses01F_impro01_F000`."""
        return Path(self.path).stem

    @property
    def speaker(self) -> str:
        """Who speaks: the session, and F or M of the turn (the dialogue's says who wears the markers)."""
        return self.name[:5] + self.name.rpartition("_")[2][:1]


Sessions = Mapping[int, Sequence[Utterance]]


@functools.cache
def order(number: int) -> Mapping[str, Any]:
    """Of a session, its `dialogues` in s3prl's order and the git blob ids of s3prl's `train` and `test`."""
    import yaml

    text = (Path(__file__).parent / "iemocap_order.yaml").read_text(encoding="utf-8")
    found = yaml.safe_load(text)[number]
    return {**found, "dialogues": [f"Ses0{number}{name}" for name in found["dialogues"].split()]}


def present(root: Path) -> tuple[int, ...]:
    """The sessions that there are folders of."""
    return tuple(number for number in SESSIONS if (root / f"Session{number}").is_dir())


def folds_of(data: Path) -> tuple[str, ...]:
    """The folds of the sessions that are there, where there are two or more; else all, to be refused."""
    try:
        there = present(CORPUS.find(data))
    except UsageError:
        return FOLDS
    return tuple(FOLDS[number - 1] for number in there) if len(there) > 1 else FOLDS


def _session(root: Path, number: int, partial: bool) -> tuple[Utterance, ...]:
    folder = root / f"Session{number}"
    for part in (LABEL_FOLDER, AUDIO_FOLDER):
        if not (folder / part).is_dir():
            raise UsageError(f"there is no folder {folder / part}; {CORPUS.get} again")
    place = {name: index for index, name in enumerate(order(number)["dialogues"])}
    tables = sorted(
        folders.files(folder / LABEL_FOLDER, ".txt"),
        key=lambda path: (place.get(path.stem, len(place)), path.stem),
    )
    found = tuple(one for table in tables for one in _dialogue(root, number, table, partial))
    if not found:
        raise UsageError(
            f"{folder / LABEL_FOLDER} labels no utterance as one of {', '.join(MERGED)}; {CORPUS.get} again"
        )
    return found


def _dialogue(root: Path, number: int, table: Path, partial: bool) -> list[Utterance]:
    """The utterances of one dialogue by name, which is the order in its table."""
    found: dict[str, Utterance] = {}
    for place, line in texts.lines(table, f"{CORPUS.get} again"):
        if not line.startswith("["):
            continue
        fields = [field.strip() for field in line.split("\t") if field.strip()]
        if len(fields) < 3 or not re.fullmatch(rf"Ses0{number}[FM]_\w+_[FM]\w*", fields[1]):
            raise UsageError(
                f"{place} is {line.strip()!r}, expected [start - end], an utterance such as "
                f"{table.stem}_F000 and its emotion, with tabs between them; {CORPUS.get} again"
            )
        name, label = fields[1], MERGED.get(fields[2])
        if name in found:
            raise UsageError(f"{place} labels {name} a second time; {CORPUS.get} again")
        if label is None:
            continue
        path = f"Session{number}/{AUDIO_FOLDER}/{name.rpartition('_')[0]}/{name}.wav"
        if folders.is_file(root / path):
            found[name] = Utterance(path, label)
        elif not partial:
            raise UsageError(f"{place} labels {name}, and there is no {root / path}; {CORPUS.get} again")
    return [found[name] for name in sorted(found)]


def metadata(sessions: Sessions, fold: int) -> tuple[str, str]:
    """s3prl's `train_meta_data.json` and `test_meta_data.json` of a fold: all sessions but `fold`, and it."""
    train = [one for number in sessions if number != fold for one in sessions[number]]
    return _json(train), _json(sessions[fold])


def _json(utterances: Sequence[Utterance]) -> str:
    listed = [
        {"path": one.path, "label": one.label, "speaker": one.name.partition("_")[0]} for one in utterances
    ]
    return json.dumps({"labels": dict(CLASSES), "meta_data": listed})


def _listed(request: Request) -> Listing[Sessions]:
    """The labelled utterances of the four classes, session by session, in the order of s3prl's metadata.

    UsageError for a label line that cannot be read, and for a labelled utterance without audio (stock s3prl
    leaves it out without a word; so does a part of the corpus).
    """
    root, made = request.root, bool(labels(request.root))
    numbers = SESSIONS if made else present(root)
    sessions = {number: _session(root, number, request.partial) for number in numbers}
    counts = {f"Session{number}": len(sessions.get(number, ())) for number in SESSIONS}
    files = {
        f"session {number}": [AudioFile.at(root / one.path, root) for one in utterances]
        for number, utterances in sessions.items()
    }
    deviations = () if made else _deviations(sessions, counts)
    return Listing(root, files, sessions, list(_problems(root, sessions)), counts, deviations=deviations)


def _problems(root: Path, sessions: Sessions) -> Iterator[Problem]:
    if len(sessions) < 2:
        yield Problem(
            f"{root} has {len(sessions)} of {len(SESSIONS)} sessions, at least two were expected: emotion "
            "recognition is tested on a session that it is not trained on",
            "add another session of IEMOCAP",
        )
    for number, utterances in sessions.items():
        absent = sorted(CLASSES.keys() - {one.label for one in utterances})
        if absent:
            folder = root / f"Session{number}" / LABEL_FOLDER
            yield Problem(f"{folder} labels no utterance as {', '.join(absent)}")


def _deviations(sessions: Sessions, counts: Mapping[str, int]) -> tuple[str, ...]:
    """How a corpus that is not made differs from the one of SUPERB's numbers, beside its counts."""
    if len(sessions) < len(SESSIONS):
        return (f"the mean is over {len(sessions)} of {len(SESSIONS)} folds",)
    if counts != CORPUS.official:
        return ()
    others = [
        f"fold{fold}"
        for fold in SESSIONS
        if [bytes_id(text.encode()) for text in metadata(sessions, fold)]
        != [order(fold)["train"], order(fold)["test"]]
    ]
    differ = f"the metadata derived for {', '.join(others)} differ from s3prl's, so that other utterances"
    return (f"{differ} may be drawn for dev",) if others else ()


def _written(listing: Listing[Sessions], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Derive the metadata of all folds that s3prl reads."""
    datarc, sessions = config["downstream_expert"]["datarc"], listing.content
    fold = FOLDS.index(datarc["test_fold"]) + 1
    digest = audio.listing_hash(listing.files, [_json(listed) for listed in sessions.values()])
    folder = cache.resolve() / f"iemocap-{digest[:12]}"
    for number in sessions:
        for part, text in zip(("train", "test"), metadata(sessions, number), strict=True):
            texts.write(folder / f"Session{number}" / f"{part}_meta_data.json", text)
    others = sum(len(utterances) for number, utterances in sessions.items() if number != fold)
    # s3prl's own expression, rounding included.
    train = int((1 - datarc["valid_ratio"]) * others)
    return listing.prepared(
        digest,
        {"datarc.root": listing.root, "datarc.meta_data": folder},
        utterances={"train": train, "dev": others - train, "test": len(sessions[fold])},
        groups={one.name: one.speaker for one in sessions[fold]},
    )


CORPUS = CheckedCorpus(**checks.facts("iemocap"), listed=_listed, written=_written)
