"""`./run_superb.sh submit UPSTREAM`: the predict.zip that the SUPERB leaderboard takes, from finished runs.

Names and places in the zip are those of s3prl 0.4.18's `submit/submit.py`. It is written with all ten tasks
or not at all. ASR decoded with a language model, which the leaderboard lists apart, is not among them.
The same runs give the same zip, byte for byte.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from downstream_runs import tasks
from downstream_runs.core import results
from downstream_runs.core.results import Result, reason
from downstream_runs.core.run_folder import RESULT, SWEEP, SWEEP_SUFFIX
from downstream_runs.core.task import TaskSpec
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_path, read_json, sha256_file
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.words import near


@dataclass(frozen=True)
class Run:
    """A finished run: its directory and its result."""

    folder: Path
    result: Result


def submit(
    upstream: str,
    runs: Path,
    *,
    recipe: str = "superb",
    chosen: Sequence[Path] = (),
    labelled: bool = False,
) -> Path:
    """Write RUNS/UPSTREAM/predict.zip from the finished runs of all ten tasks; returns its path.

    recipe: which runs are taken. chosen: run directories to be taken in place of those, where a task has
    several. labelled: also take runs whose labels (demo, untrained, shortened, ...) keep them from being
    compared; the zip is then called `predict-LABELS.zip` and says in `README.txt` what it is.

    Raises UsageError, with a sentence for each task that is not ready, and then nothing is written.
    """
    place = _folder(upstream, runs)
    given = _given(chosen)
    found: dict[str, Run] = {}
    members: dict[str, Path] = {}
    problems: list[str] = []
    for name, task in submitted().items():
        try:
            found[name] = run = given.get(name) or _find(place / name, name, recipe)
            members |= _members(run, task, labelled)
        except UsageError as error:
            problems.append(f"{name}: {error}")
            found.pop(name, None)
    problems += _one_upstream(found)
    if problems:
        listed = "\n  ".join(problems)
        raise UsageError(f"no predict.zip was written, {upstream} is not ready for it:\n  {listed}")
    labels = tuple(dict.fromkeys(label for run in found.values() for label in run.result.labels))
    path = place / ("-".join(["predict", *labels]) + ".zip")
    _write(path, members, _readme(found, labels) if labels else "")
    return path


def submitted() -> dict[str, TaskSpec]:
    """The tasks that the leaderboard has, by name."""
    return {name: tasks.get(name) for name in tasks.names() if tasks.get(name).submitted}


def run_folder(place: Path) -> Path:
    """The folder of a run that is given as such or by its result; a finished run prints both."""
    return place.parent if place.name == RESULT else place


def _folder(upstream: str, runs: Path) -> Path:
    place = runs / re.sub(r"[^A-Za-z0-9._-]", "_", upstream)
    if upstream in (".", "..") or not place.is_dir():
        names = sorted(path.name for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []
        raise UsageError(
            f"there are no runs of {upstream!r} in {runs}{near(upstream, names)}; run the ten tasks first, "
            "or name the folder of the runs with --out"
        )
    return place


def _given(chosen: Sequence[Path]) -> dict[str, Run]:
    given: dict[str, Run] = {}
    for folder in chosen:
        run = _read(folder)
        if run.result.task not in submitted():
            raise UsageError(f"--run {folder} is of the task {run.result.task}, which is not of SUPERB's ten")
        if run.result.task in given:
            raise UsageError(f"--run names two runs of {run.result.task}, one was expected")
        given[run.result.task] = run
    return given


def _find(place: Path, task: str, recipe: str) -> Run:
    """The one finished run of the recipe, or the one finished choice among learning rates."""
    wanted = re.compile(re.escape(recipe) + f"-[0-9a-f]+({re.escape(SWEEP_SUFFIX)})?")
    folders = sorted(path for path in place.glob("*") if path.is_dir() and wanted.fullmatch(path.name))
    finished = [path for path in folders if (path / RESULT).is_file()]
    if not finished:
        state = (
            f"{folders[0]} has not been finished" if folders else f"{place} holds no run of recipe {recipe}"
        )
        raise UsageError(f"{state}; run {PROGRAM} {place.parent.name} {task} --recipe {recipe}")
    if len(finished) > 1:
        names = ", ".join(path.name for path in finished)
        raise UsageError(f"{place} holds {len(finished)} runs ({names}); name one with --run DIR")
    return _read(finished[0])


def _read(folder: Path) -> Run:
    """The run in a folder; of a sweep the one that was chosen, which has all files that a run has."""
    run = Run(folder, results.read(folder / RESULT))
    if SWEEP not in run.result.artefacts:
        return run
    summary = read_json(folder / SWEEP) or {}
    try:
        one = next(one for one in summary["tried"] if one["lr"] == summary["chosen"])
        rate, digest = folder / one["run"], str(one["content_sha256"])
    except (KeyError, TypeError, StopIteration):
        raise UsageError(
            f"{folder / SWEEP} does not name the learning rate that was chosen; run the same command again"
        ) from None
    if not (rate / RESULT).is_file():
        return run  # the sweep has links to what the chosen run's number needs
    run = Run(rate, results.read(rate / RESULT))
    if run.result.content_sha256 != digest:
        raise UsageError(
            f"{rate} is not the run that {folder / SWEEP} names any more; run the same command again, which "
            "chooses again"
        )
    return run


def _members(run: Run, task: TaskSpec, labelled: bool) -> dict[str, Path]:
    """Place in the zip -> file, each as it was when the result was written, and no label unless allowed."""
    if run.result.labels and not labelled:
        raise UsageError(
            f"{run.folder} is labelled {', '.join(run.result.labels)}{_counts(run.result)}, which the "
            "leaderboard cannot compare; use --labelled for a zip that says so in its name"
        )
    for fold in task.folds:
        if not (run.folder / fold / RESULT).is_file():
            raise UsageError(f"{fold} of {run.folder} is missing; all folds or no number")
        _unchanged(run.folder, f"{fold}/{RESULT}", run.result)
    members = {}
    for name, target in task.submitted.items():
        if name.endswith("/"):
            members.update({f"{target}/{file.name}": file for file in _predictions(run, name)})
            continue
        for fold, one in [(fold, _read(run.folder / fold)) for fold in task.folds] or [("", run)]:
            file = _unchanged(one.folder, name.format(fold=fold), one.result)
            members[target.format(fold=fold)] = file
    return members


def _counts(result: Result) -> str:
    """What a result on a part of a corpus says of it, in brackets."""
    return f" ({result.shortfall})" if result.shortfall else ""


def _unchanged(folder: Path, name: str, result: Result) -> Path:
    path = folder / name
    wanted = result.artefacts.get(name)
    if not path.is_file():
        problem = "is missing"
    elif path.stat().st_size == 0:
        problem = "is empty"
    elif wanted is not None and sha256_file(path) != wanted:
        problem = f"is not the file that {folder / RESULT} was made from"
    else:
        return path
    raise UsageError(f"{path} {problem}; run the task again with --rerun always")


def _predictions(run: Run, name: str) -> list[Path]:
    """The files of probabilities, one for each test mixture."""
    files = [path for path in (run.folder / name).glob("*.h5") if path.is_file()]
    wanted = run.result.corpus.counts.get("test", 0)
    if not files or len(files) != wanted:
        raise UsageError(
            f"{run.folder / name} holds predictions of {len(files):,} mixtures, {wanted:,} were expected; "
            "run the task again with --rerun always"
        )
    return files


def _one_upstream(found: Mapping[str, Run]) -> list[str]:
    """A sentence if the runs are of different weights."""
    tasks_of: dict[str | None, list[str]] = {}
    for task, run in found.items():
        result = run.result
        tasks_of.setdefault(result.upstream_revision or result.upstream_checkpoint_sha256, []).append(task)
    if len(tasks_of) < 2:
        return []
    groups = "; ".join(f"{(sha or 'no file')[:12]}: {', '.join(names)}" for sha, names in tasks_of.items())
    return [f"the runs are of different upstream weights ({groups}); choose with --run DIR"]


def _write(path: Path, members: Mapping[str, Path], readme: str) -> None:
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        if readme:
            archive.writestr(_entry("README.txt"), readme)
        for target in sorted(members):
            entry = _entry(target)
            entry.file_size = members[target].stat().st_size
            with members[target].open("rb") as source, archive.open(entry, "w") as file:
                shutil.copyfileobj(source, file)


def _entry(name: str) -> zipfile.ZipInfo:
    """A member without the time and the rights of its file."""
    entry = zipfile.ZipInfo(f"predict/{name}", date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o100644 << 16
    return entry


def _readme(found: Mapping[str, Run], labels: tuple[str, ...]) -> str:
    lines = [
        f"These predictions are labelled {' and '.join(labels)}: they are no entry for the SUPERB "
        "leaderboard.\n",
        *(f"{label}: {reason(label)}" for label in labels),
        "",
        "By task:",
    ]
    for task, run in found.items():
        lines.append(f"{task}: {', '.join(run.result.labels) or 'none'}{_counts(run.result)}")
    return "\n".join([*lines, ""])
