"""Tasks that are none of SUPERB's ten: on a table of one's own, by one of the kinds that are here."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from downstream_runs import tasks
from downstream_runs.core.corpus import Problem, Split
from downstream_runs.core.task import Score, TaskSpec
from downstream_runs.corpora import (
    checks,
    table_classes,
    table_corpus,
    table_texts,
    table_trials,
    table_turns,
    tables,
)
from downstream_runs.corpora.table_corpus import Judged, TableCorpus, Written
from downstream_runs.corpora.tables import Source, Table
from downstream_runs.protocols import asv
from downstream_runs.protocols import sd as diarization
from downstream_runs.scoring import wer
from downstream_runs.tasks import _ctc, _labels, sd
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import sha256_file
from upstream_arm.common.words import near, shown

RTTM = "rttm_sha256"
"""Of a record: what the RTTM files of a table of turns are pinned by."""


@dataclass(frozen=True)
class Kind:
    """What a table can be made a task of.

    answer: the column with what is to be said of an utterance. make(task, folds): the task of such a table.
    judged, written, score: see `TableCorpus` and `TaskSpec`.
    """

    answer: str
    make: Callable[[TaskSpec, tuple[str, ...]], TaskSpec]
    judged: Judged
    written: Written
    score: Callable[[Path, str, Mapping[str, float]], tuple[Score, ...]]


def _classes(task: TaskSpec, folds: tuple[str, ...]) -> TaskSpec:
    """With the table's folds, or with its own division, which is the one fold that s3prl's expert knows."""
    if folds:
        return dataclasses.replace(task, folds=folds)
    metrics = (
        dataclasses.replace(one, scalar=(one.scalar or "").replace("{fold}", "fold1")) for one in task.metrics
    )
    return dataclasses.replace(
        task,
        metrics=tuple(metrics),
        artefacts=tuple(name.replace("{fold}", "fold1") for name in task.artefacts),
        fixed_keys=(*task.fixed_keys, task.fold_key),
        fold_key="",
        adjust=table_classes.divide,
    )


def _turns(task: TaskSpec, folds: tuple[str, ...]) -> TaskSpec:
    return dataclasses.replace(_plain(task, folds), check=None, used=sd.used, test=diarization.test)


def _plain(task: TaskSpec, folds: tuple[str, ...]) -> TaskSpec:
    if folds:
        raise UsageError(
            f"{task.title.lower()} has no cross-validation: give the table a column split in place of fold"
        )
    return dataclasses.replace(task, check=_ctc.check, used=_ctc.used)


def _error_rates(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """CER and WER from the transcripts that s3prl's ctc wrote."""
    found = _ctc.read(folder, split)
    characters = functools.partial(wer.score, unit="char")
    return _ctc.error_rate("cer", characters, *found), _ctc.error_rate("wer", wer.score, *found)


def _unit_errors(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """The error rate of units with spaces between them."""
    return (_ctc.error_rate("per", wer.score, *_ctc.read(folder, split)),)


def _verification(task: TaskSpec, folds: tuple[str, ...]) -> TaskSpec:
    return dataclasses.replace(_plain(task, folds), check=None, used=len, test=asv.test)


def _equal_error_rate(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """EER from the trials that s3prl scored."""
    return (asv.equal_error_rate(asv.read_scored(folder, split)),)


def _text_kind(answer: str, score: Callable[..., tuple[Score, ...]]) -> Kind:
    return Kind(answer, _plain, table_texts.judged, table_texts.written, score)


KINDS: Mapping[str, Kind] = {
    "classification": Kind(
        "label", _classes, table_classes.judged, table_classes.written, _labels.score_fold
    ),
    "transcription": _text_kind("transcript", _error_rates),
    "units": _text_kind(table_texts.UNITS, _unit_errors),
    "verification": Kind(
        "speaker", _verification, table_trials.judged, table_trials.written, _equal_error_rate
    ),
    "diarization": Kind(table_turns.REFERENCE, _turns, table_turns.judged, table_turns.written, sd.score),
}


def named(kind: str) -> Kind:
    """The kind of that name; UsageError for an unknown one."""
    if kind not in KINDS:
        raise UsageError(
            f"a table cannot be made a task of the kind {shown(kind)}{near(kind, KINDS)}; --table is for "
            f"{', '.join(KINDS)}"
        )
    return KINDS[kind]


def kind_of(table: Path, trials: Path | None = None) -> str:
    """The one kind of task that reads a table of these columns; UsageError where there is not one."""
    names = tables.columns(Source(table.expanduser().absolute(), ""))
    if trials is not None:
        return "verification"
    fit = [kind for kind, how in KINDS.items() if how.answer in names and kind != "verification"]
    if len(fit) != 1:
        raise UsageError(
            f"{table} has the columns {', '.join(names)}, which are of {' and '.join(fit) or 'no kind'}: "
            f"name the kind of task before --table, one of {', '.join(KINDS)}"
        )
    return fit[0]


def define(
    kind: str,
    table: Path,
    name: str = "",
    split_by: str = "",
    split_seed: int = 0,
    trials: Path | None = None,
) -> TaskSpec:
    """The task of a table; UsageError for a name, a kind or a table that cannot be used.

    name: of the task, and of the folder of its runs; by default that of the table's file. trials: of
    verification, which needs them.
    """
    named(kind)
    path = table.expanduser().absolute()
    chosen = name or re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", chosen):
        raise UsageError(
            f"the task would be called {shown(chosen)}, expected small letters, digits and dashes; name it "
            "with --task-name NAME"
        )
    if chosen in tasks.known() or chosen in KINDS:
        raise UsageError(
            f"the task of {path.name} would be called {chosen}, which is one of SUPERB's tasks or a kind of "
            "task; name it with --task-name NAME"
        )
    own, read, found = _record(kind, path, split_by, split_seed, trials)
    checks.require_none(found, _source(own).again)
    own |= {"folds": tables.parts(read)} if read.folds else {}
    return of_record(chosen, own, splits=table_corpus.sizes(read))


def faults(
    kind: str, table: Path, cache: Path, split_by: str = "", split_seed: int = 0, trials: Path | None = None
) -> list[Problem]:
    """All that is wrong with a table for a kind of task; UsageError for what is no table at all."""
    own, _, _ = _record(kind, table.expanduser().absolute(), split_by, split_seed, trials)
    corpus = of_record(kind, own).corpus
    assert isinstance(corpus, TableCorpus)
    return corpus.faults(cache)


def bare(kind: str) -> TaskSpec:
    """A kind without any table, for its recipes."""
    return of_record(kind, {"kind": kind, "table": "/", "table_sha256": ""})


def _record(
    kind: str, path: Path, split_by: str, split_seed: int, trials: Path | None
) -> tuple[dict[str, Any], Table, list[Problem]]:
    """What defines the task of a table, but for the names of folds; the table, and what is wrong with it."""
    own: dict[str, Any] = {"kind": kind, "table": str(path)}
    own |= {"split_by": split_by, "split_seed": split_seed} if split_by else {}
    own |= _trials_of(kind, trials)
    read, found = tables.parsed(_source(own))
    own |= {RTTM: table_turns.pinned(read)} if kind == "diarization" else {}
    return {**own, "table_sha256": read.sha256}, read, found


def _source(own: Mapping[str, Any], table: Path | None = None) -> Source:
    """Where a table is and how it is divided, by what defines its task. table: where it has moved to."""
    return Source(
        table or Path(own["table"]),
        named(own["kind"]).answer,
        own.get("split_by", ""),
        own.get("split_seed", 0),
        Path(own["trials"]) if "trials" in own else None,
        own.get("trials_sha256", own.get(RTTM, "")),
    )


def _trials_of(kind: str, trials: Path | None) -> dict[str, str]:
    """What a list of trials is pinned by; UsageError where there is one too many or too few."""
    if (kind == "verification") is not (trials is not None):
        raise UsageError(
            f"--trials is for verification, not for {kind}: leave it out"
            if trials
            else "verification needs a list of trials, lines LABEL FILE FILE: add --trials FILE"
        )
    if trials is None:
        return {}
    path = trials.expanduser().absolute()
    try:
        return {"trials": str(path), "trials_sha256": sha256_file(path)}
    except OSError as error:
        raise UsageError(f"the trials {path} cannot be read ({error.strerror}); name a list") from None


def of_record(
    name: str,
    own: Mapping[str, Any],
    table: Path | None = None,
    splits: Mapping[str, Split] = MappingProxyType({}),
) -> TaskSpec:
    """The task of that name as a result's configuration defines it; no file is read.

    table: where that has moved to. splits: how large it is, where that is known.
    """
    kind = own["kind"]
    how = named(kind)
    source = _source(own, table)
    size = f"{sum(split.utterances for split in splits.values()):,} files"
    about = (name, "yours", size, source.path.as_uri(), splits, "")
    corpus = TableCorpus(*about, source, own["table_sha256"], how.judged, how.written)
    made = how.make(tasks.task(kind, corpus, how.score), tuple(own.get("folds", ())))
    return dataclasses.replace(made, name=name, title=f"{made.title} on a corpus of one's own", own=dict(own))
