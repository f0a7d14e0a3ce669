"""The numbers of a bundle once more, as the engine makes them, from its predictions and references alone."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from downstream_runs.core import official, records, results
from downstream_runs.core.results import OWN_CORPUS, Metric, Result
from downstream_runs.core.run_folder import ITEMS, LAYERS, METRICS, RESULT, SWEEP, TRIALS
from downstream_runs.core.task import Score, TaskSpec
from downstream_runs.corpora import quesst14
from downstream_runs.corpora.quesst14 import Quesst14, Recording
from downstream_runs.protocols import asv, qbe, sd
from downstream_runs.protocols.activity import SETTINGS, Setting
from downstream_runs.runs.verify import ROUNDING
from downstream_runs.scoring import der, groundtruth, rttm, stdlist
from downstream_runs.scoring.sums import in_order
from downstream_runs.share.bundle import REFERENCES
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import read_json
from upstream_arm.common.reading import TABLE_BYTES, read_text

Row = tuple[str, ...]


@dataclass(frozen=True)
class Rebuilt:
    """What the files of a bundle give.

    metrics: all of the result, in its order, but for those of SKIPPED steps.
    counts: utterances of the corpus's splits, of those that the files tell.
    tables: name of a CSV file -> the rows that it must have, the head first.
    """

    metrics: tuple[Metric, ...]
    counts: Mapping[str, int]
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)


def rebuild(folder: Path, result: Result, task: TaskSpec) -> Rebuilt:
    """All numbers of a result; UsageError (ScoringError, RunFailed) where files of it cannot be used."""
    folds = [name for name in result.artefacts if Path(name).name == RESULT]
    if folds:
        made = _of_folds(folder, folds)
    elif task.name == "qbe":
        made = _searches(folder, result)
    elif task.name == "sd":
        made = _diarisation(folder, result, task)
    elif task.test is not None:
        made = _verification(folder, result, task)
    else:
        made = _plain(folder, result, task)
    metrics = made.metrics
    if {official.OTHER_DATA, OWN_CORPUS} & set(result.labels):
        metrics = tuple(dataclasses.replace(one, official=False) for one in metrics)
    if SWEEP in result.artefacts:
        also = _of_sweep(folder, task)
        metrics = tuple(dataclasses.replace(one, selection=one.selection + also) for one in metrics)
    return dataclasses.replace(made, metrics=metrics)


def _plain(folder: Path, result: Result, task: TaskSpec) -> Rebuilt:
    """The test splits with the checkpoint that is best on dev, and what that had on dev."""
    how, on_dev = _chosen(folder, result, task)
    metrics, rows, sizes = [], [_ITEM_HEAD], {}
    for split in task.test_splits:
        name = official.name(task, result.config, split)
        scores = task.score(folder, split, {})
        for score in scores:
            spec = task.metric(score.metric)
            counts = spec.official and split == task.test_splits[0]
            metrics.append(spec.measured(score, name, how, official=counts))
            rows += _item_rows(score, name)
            sizes[name] = score.counts["utterances"]
    sizes |= {one.split: one.counts["utterances"] for one in on_dev if "utterances" in one.counts}
    return Rebuilt((*metrics, *on_dev), sizes, {ITEMS: rows})


def _chosen(folder: Path, result: Result, task: TaskSpec) -> tuple[str, tuple[Metric, ...]]:
    """How the checkpoint was chosen, in words, and its numbers on dev, by the journal of the training."""
    rule = task.selection
    assert rule is not None
    split = official.name(task, result.config, rule.split)
    sign = 1 if task.metric(rule.metric).better == "higher" else -1
    lines = [line for line in records.read(folder / METRICS) if line.get("split") == split]
    try:
        # Of equal values the earlier stays, as in training.
        best = max(lines, key=lambda line: sign * line["scores"][rule.metric]["value"])
        how = task.selected(split, best["step"], result.steps)
        return how, tuple(
            task.metric(name).measured(Score(name, one["value"], one["counts"]), split, how, official=False)
            for name, one in best["scores"].items()
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UsageError(
            f"{folder / METRICS} has no evaluations of {split} by which a checkpoint is chosen"
        ) from None


_ITEM_HEAD: Row = ("metric", "split", "item", "group", "numerator", "denominator")


def _item_rows(score: Score, split: str) -> list[Row]:
    return [
        (score.metric, split, one.name, one.group, str(one.numerator), str(one.denominator))
        for one in score.items
    ]


def _of_folds(folder: Path, folds: Sequence[str]) -> Rebuilt:
    """The mean over folds, and each fold's number for information; `engine.folds` makes them so."""
    names = [Path(name).parent.name for name in folds]
    found = [results.read(folder / name) for name in folds]
    metrics: list[Metric] = []
    for first in (one for one in found[0].metrics if one.role == "headline"):
        single = [one.headline(first.name) for one in found]
        pairs = [(name, one) for name, one in zip(names, single, strict=True) if one is not None]
        each = "; ".join(f"{name}: {one.selection}" for name, one in pairs)
        metrics.append(
            dataclasses.replace(
                first,
                value=in_order(one.value for _, one in pairs) / len(folds),
                counts={f"{name}_{key}": number for name, one in pairs for key, number in one.counts.items()},
                split=f"{first.split} of {', '.join(names)}",
                selection=f"mean over {len(folds)} folds; in each: {each}",
            )
        )
        metrics += [
            dataclasses.replace(one, split=f"{one.split} of {name}", official=False, role="information")
            for name, one in pairs
        ]
    sizes = {
        f"{fold} {split}": count
        for fold, one in zip(names, found, strict=True)
        for split, count in one.corpus.counts.items()
    }
    return Rebuilt(tuple(metrics), sizes)


def _diarisation(folder: Path, result: Result, task: TaskSpec) -> Rebuilt:
    """All ten ways on both splits, from their turns and the reference turns."""
    scored: dict[str, dict[Setting, sd.PerFile]] = {}
    for split, place in sd.FOLDERS.items():
        reference = rttm.read(folder / REFERENCES / f"{split}.rttm")
        scored[split] = {}
        for way in SETTINGS:
            turns = rttm.read(folder / place / way.file)
            if turns.keys() - reference.keys():
                raise UsageError(f"{folder / place / way.file} has recordings that the references have not")
            files = sorted(reference.items())
            scored[split][way] = {name: der.score_file(spoken, turns.get(name, [])) for name, spoken in files}
    how, on_dev = _chosen(folder, result, task)
    items = _item_rows(sd.official_score(scored["test"]), "test")
    sizes = {split: len(next(iter(ways.values()))) for split, ways in scored.items()}
    return Rebuilt((*sd.metrics(task, scored, how), *on_dev), sizes, {ITEMS: [_ITEM_HEAD, *items]})


def _verification(folder: Path, result: Result, task: TaskSpec) -> Rebuilt:
    """EER of the chosen checkpoints from their trials; that of the others as the run's report has it."""
    scores, sizes = _reported(folder), dict[str, int]()
    each = max(result.steps // max(task.kept_checkpoints, 1), 1)
    if list(scores) != list(range(each, result.steps + 1, each)):
        raise UsageError(f"{folder / 'report.txt'} does not have a line for each checkpoint that was kept")
    for step in asv_choices(folder, task):
        for split in scores[step]:
            trials = asv.read_scored(folder / f"states-{step}", split)
            wrong = [] if task.own else [one for one in trials if one.label != _same_speaker(one.name)]
            if wrong:
                raise UsageError(f"the label of {wrong[0].name} is not what its speakers' names say")
            told, scores[step][split] = scores[step][split], asv.equal_error_rate(trials)
            if not math.isclose(told.value, scores[step][split].value, abs_tol=ROUNDING):
                raise UsageError(f"{folder / 'report.txt'} has another EER of checkpoint {step} on {split}")
            sizes[split] = len({name for trial in trials for name in asv.halves(trial.name)})
    best = asv.lowest(scores, "test" if task.own is None else "dev")
    chosen = f"states-{best}/test_predict.txt"
    if read_text(folder / "test_predict.txt") != read_text(folder / chosen):
        raise UsageError(f"{folder / 'test_predict.txt'} is not {chosen}, of the checkpoint that is reported")
    rows: list[Row] = [("split", "item", "group", "label", "score")]
    for trial in asv.read_scored(folder / f"states-{best}", "test"):
        enrol, test = asv.halves(trial.name)
        rows.append(("test", f"{enrol} {test}", enrol[:7], str(trial.label), repr(trial.score)))
    return Rebuilt(asv.metrics(task, scores, result.steps), sizes if task.own is None else {}, {TRIALS: rows})


def asv_choices(folder: Path, task: TaskSpec) -> list[int]:
    """The steps of the checkpoints whose numbers are in the result, by the report of the run."""
    scores = _reported(folder)
    splits = [split for split in next(iter(scores.values())) if split == "dev" or task.own is None]
    return sorted({asv.lowest(scores, split) for split in splits})


def _reported(folder: Path) -> dict[int, dict[str, Score]]:
    """`report.txt`: step -> split -> EER, without its counts."""
    path = folder / "report.txt"
    found: dict[int, dict[str, Score]] = {}
    try:
        for line in read_text(path).splitlines():
            step, *fields = line.removeprefix("states-").split()
            pairs = zip(fields[::2], fields[1::2], strict=True)
            if int(step) in found:
                raise ValueError
            found[int(step)] = {
                name.removesuffix("-EER"): Score("eer", float(value), {}) for name, value in pairs
            }
        if not found or any({"test"} - set(one) for one in found.values()):
            raise ValueError
    except (OSError, ValueError):
        raise UsageError(f"{path} is no report of checkpoints and their EER") from None
    return found


def _same_speaker(name: str) -> int:
    """Whether both utterances of a trial `idNNNNN-…_idNNNNN-…` are of one speaker, as 1 or 0."""
    enrol, test = asv.halves(name)
    return int(enrol[:7] == test[:7])


def _searches(folder: Path, result: Result) -> Rebuilt:
    """MTWV of every layer on dev and of the best on eval, from scores and the whole ground truth."""
    truth = {split: groundtruth.read(folder / REFERENCES / split) for split in quesst14.SPLITS}
    dev = folder / "layers" / "dev-00.stdlist.xml.gz"
    scores = {"dev": stdlist.read(dev).scores, "eval": stdlist.read(folder / qbe.BENCHMARK).scores}
    documents = dict.fromkeys(name for one in scores.values() for found in one.values() for name in found)
    corpus = Quesst14(
        tuple(Recording(name, Path(name), 0.0) for name in documents),
        {split: tuple(Recording(name, Path(name), 0.0) for name in found) for split, found in scores.items()},
        truth,
    )
    with tempfile.TemporaryDirectory() as place:
        metrics = qbe.again(corpus, folder, result.layer, Path(place))
        tables = {name: rows_of(Path(place) / name) for name in (TRIALS, LAYERS)}
    sizes = {split: len(found) for split, found in scores.items()} | {"documents": len(documents)}
    return Rebuilt(metrics, sizes, tables)


def rows_of(path: Path) -> list[Row]:
    """The rows of a CSV file, the head first."""
    return [tuple(row) for row in csv.reader(io.StringIO(read_text(path, TABLE_BYTES)))]


def _of_sweep(folder: Path, task: TaskSpec) -> str:
    """What the selection says of the choice among learning rates, which `sweep.json` holds."""
    summary: dict[str, Any] = read_json(folder / SWEEP) or {}
    try:
        by, tried = summary["chosen_by"], summary["tried"]
        lower = by["direction"] == "lower"
        values = {one["lr"]: one["dev"] for one in tried if one.get("dev") is not None}
        best = (min if lower else max)(values.values())
        if values[summary["chosen"]] != best:
            raise UsageError(f"{folder / SWEEP}: {summary['chosen']} is not the rate that is best on dev")
        how = f"{'lowest' if lower else 'highest'} {by['metric']} on {by['split']}"
        how += " (mean over the folds)" if task.folds else ""
        return f"; lr {summary['chosen']:g}, the best of {len(tried)} by {how}"
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{folder / SWEEP} does not say how a learning rate was chosen") from None
