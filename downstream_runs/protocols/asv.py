"""Speaker verification's test: every kept checkpoint on the test trials, and on the dev trials beside.

SUPERB (s3prl, downstream/docs/superb.md) saves a checkpoint every 20,000 of 200,000 steps and reports the
lowest EER on test of the ten. That choice has seen the test trials; the number that the dev trials choose
has not, and stands beside it. For a task on a table of one's own that one alone is reported.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.core.run_folder import TRIALS, kept_checkpoint
from downstream_runs.core.task import Score, TaskSpec
from downstream_runs.corpora import voxceleb1
from downstream_runs.corpora.voxceleb1_verification import read_trials
from downstream_runs.scoring import eer
from upstream_arm.common.errors import RunFailed
from upstream_arm.common.files import atomic_write_csv, atomic_write_text

if TYPE_CHECKING:
    from downstream_runs.core.results import Metric
    from downstream_runs.engine.trained_run import TrainedRun


ANY_NAME = re.compile(r"\S+")
"""Of an utterance of a corpus of one's own: its place, of which s3prl takes the last three parts."""


@dataclass(frozen=True)
class Scored:
    """One trial: `ENROL_TEST` by s3prl's names, its label (1 one speaker, 0 two), and its cosine."""

    name: str
    label: int
    score: float


def test(run: TrainedRun) -> tuple[Metric, ...]:
    """Evaluate every kept checkpoint, write `trials.csv`, `report.txt` and the chosen `test_predict.txt`.

    A checkpoint's scores stay in `states-STEP/`, so a killed run goes on at the next one. Raises RunFailed
    if no checkpoint was kept, or if one was scored on other trials than those of the lists.
    """
    splits = ["test", "dev"] if "dev" in run.data.utterances else ["test"]
    steps = _kept_steps(run.folder)
    scores: dict[int, dict[str, Score]] = {}
    for step in run.bar(steps, desc="checkpoints", total=len(steps)):
        _evaluate(run, step, splits)
        scores[step] = {split: _score(run, step, split) for split in splits}
    _write_report(run.folder, scores)
    _keep(run, lowest(scores, "test" if run.plan.task.own is None else "dev"))
    return metrics(run.plan.task, scores, run.steps)


def metrics(task: TaskSpec, scores: Mapping[int, Mapping[str, Score]], steps: int) -> tuple[Metric, ...]:
    """All metrics of the kept checkpoints' scores, by step and split, of a training of `steps`."""
    spec, splits = task.metric("eer"), list(next(iter(scores.values())))
    if task.own is not None:
        best = lowest(scores, "dev")
        rule = f"lowest EER on the dev trials of {len(scores)} checkpoints: step {best} of {steps}"
        return tuple(spec.measured(scores[best][s], s, rule, official=s == "test") for s in splits)
    best = lowest(scores, "test")
    rule = f"lowest EER on the test trials of {len(scores)} checkpoints: step {best} of {steps}"
    found = [spec.measured(scores[best]["test"], "test", rule, official=True)]
    if "dev" in splits:
        best = lowest(scores, "dev")
        rule = f"lowest EER on the dev trials, whose speakers s3prl trains on: step {best} of {steps}"
        found += [spec.measured(scores[best][split], split, rule, official=False) for split in splits]
    return tuple(found)


def _keep(run: TrainedRun, step: int) -> None:
    """The chosen checkpoint's scores of the test trials as the run's."""
    chosen = run.folder / f"states-{step}"
    atomic_write_text(run.folder / "test_predict.txt", (chosen / "test_predict.txt").read_text("utf-8"))
    _write_trials(run.folder / TRIALS, read_scored(chosen, "test"), run.data.groups)


def halves(trial: str) -> tuple[str, str]:
    """The two utterances of a trial; both begin with idNNNNN-, and a video's name may hold an underscore."""
    cut = trial.index("_id", 8)
    return trial[:cut], trial[cut + 1 :]


def read_scored(folder: Path, split: str) -> list[Scored]:
    """The trials of `split` that s3prl scored, from the two files that it wrote to `folder`."""
    rows = []
    for kind in ("predict", "truth"):
        lines = (folder / f"{split}_{kind}.txt").read_text(encoding="utf-8").splitlines()
        # A video's name may hold anything but a blank, the last field is the number.
        rows.append([line.rsplit(" ", 1) for line in lines])
    predicted, truth = rows
    if [name for name, _ in predicted] != [name for name, _ in truth]:
        raise RunFailed(
            f"{folder}: {split}_predict.txt has {len(predicted)} trials and {split}_truth.txt other ones "
            f"({len(truth)}); delete that folder and start the same command again"
        )
    return [
        Scored(name, int(label), float(value))
        for (name, value), (_, label) in zip(predicted, truth, strict=True)
    ]


def equal_error_rate(trials: Sequence[Scored]) -> Score:
    """The EER in percent, with the trials that it was computed from."""
    rate = eer.score([trial.label for trial in trials], [trial.score for trial in trials])
    counted = ("targets", "nontargets", "false_rejects", "false_accepts")
    counts = {"trials": len(trials), **{name: getattr(rate, name) for name in counted}}
    return Score("eer", 100.0 * rate.rate, counts)


def _kept_steps(folder: Path) -> list[int]:
    names = (path.stem.removeprefix("states-") for path in folder.glob("states-*.ckpt"))
    steps = sorted(int(name) for name in names if name.isdigit())
    if not steps:
        raise RunFailed(f"{folder} holds no checkpoint states-STEP.ckpt; train again with --rerun always")
    return steps


def _evaluate(run: TrainedRun, step: int, splits: Sequence[str]) -> None:
    """Score one checkpoint, unless that was done before; its folder appears when all of it is there."""
    folder = run.folder / f"states-{step}"
    if folder.is_dir():
        return
    partial = run.folder / f"partial-states-{step}"
    shutil.rmtree(partial, ignore_errors=True)
    run.load(kept_checkpoint(step))
    for split in splits:
        evaluation = run.evaluate(split, step, into=partial)
        run.say(f"checkpoint {step}: {split} EER {evaluation.value('eer'):.2f} %")
    os.replace(partial, folder)


def _score(run: TrainedRun, step: int, split: str) -> Score:
    """The EER of a checkpoint's files, which must hold the trials of the list, all and in its order."""
    trials = read_scored(run.folder / f"states-{step}", split)
    names = voxceleb1.NAME if run.plan.task.own is None else ANY_NAME
    listed = read_trials(Path(run.data.settings[f"datarc.{split}_meta_data"]), names)
    wanted = [(f"{_name(trial.enrol)}_{_name(trial.test)}", trial.label) for trial in listed]
    if [(trial.name, trial.label) for trial in trials] != wanted:
        raise RunFailed(
            f"{run.folder / f'states-{step}'} holds {len(trials)} {split} trials, which are not the "
            f"{len(wanted)} of the list; delete that folder and start the same command again"
        )
    return equal_error_rate(trials)


def _name(path: str) -> str:
    """An utterance as s3prl writes it into `test_predict.txt`."""
    return "-".join(path.split("/")[-3:]).split(".")[0]


def lowest(scores: Mapping[int, Mapping[str, Score]], split: str) -> int:
    """The step with the lowest EER; of equal ones the earliest."""
    return min(scores, key=lambda step: (scores[step][split].value, step))


def _write_report(folder: Path, scores: Mapping[int, Mapping[str, Score]]) -> None:
    """One line a checkpoint: its step, and the EER in percent of each split."""
    lines = []
    for step, of_step in scores.items():
        rates = (f"{split}-EER {score.value!r}" for split, score in of_step.items())
        lines.append(f"states-{step} {' '.join(rates)}\n")
    atomic_write_text(folder / "report.txt", "".join(lines))


def _write_trials(path: Path, trials: Sequence[Scored], speakers: Mapping[str, str]) -> None:
    """The chosen checkpoint's test trials: split, item, group (the enrolled speaker), label, score.

    speakers: what they are called in a table of one's own, by their numbers."""
    rows: list[tuple[object, ...]] = [("split", "item", "group", "label", "score")]
    for trial in trials:
        enrol, test = halves(trial.name)
        speaker = speakers.get(enrol[:7], enrol[:7])
        rows.append(("test", f"{enrol} {test}", speaker, trial.label, repr(trial.score)))
    atomic_write_csv(path, rows)
