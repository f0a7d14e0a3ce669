"""What the runs of a folder are doing, as their files and Slurm's queue tell it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from downstream_runs.core import queue, records, results, settings
from downstream_runs.core.corpus import shortfall
from downstream_runs.core.results import Metric, Result
from downstream_runs.core.run import upstream_folder
from downstream_runs.core.run_folder import (
    EVENTS,
    LOCK,
    METRICS,
    OUTCOME,
    PLAN,
    RATES,
    RESULT,
    S3PRL_LOG,
    RunFolder,
    is_fold,
)
from reports import store
from upstream_arm.common import lock
from upstream_arm.common.errors import ReportError, UsageError
from upstream_arm.common.files import read_json

COLUMNS = ("name", "upstream", "task", "run", "differs", "state", "step", "left", "number", "log")
OPTIONAL = ("name", "differs")
"""Columns that are left out where no run has anything in them."""
RECENT = 10
"""Checkpoints whose pace is that of a run: enough to hold an evaluation now and then."""
TOLD = ("seed", "precision", "features", "states", "layer", "quantize", "noise")
"""Keys of a plan, beside its settings, in which runs can differ."""


@dataclass(frozen=True)
class Status:
    """One run.

    state: done; running; waiting in Slurm's queue; failed, with the reason in `said`; stopped, which the same
    command continues. left: minutes to the end of training, if known. number: of the result; before there is
    one, the newest that the run's journal has. log: where to read on. labels: of the numbers. partial: of a
    part of a corpus, how much of it there is. full: of a run whose store of features takes no more, its size.
    name: what the user calls it. metrics: of the result, which for a task with folds are their means.
    settings: what decides its numbers. differs: in which of these it is not as the others of the same
    upstream, task and recipe, in words. source: the folder of the upstream's runs.
    """

    folder: Path
    upstream: str
    task: str
    state: str
    step: int
    total: int | None
    left: float | None
    number: str
    log: Path
    said: str = ""
    labels: tuple[str, ...] = ()
    partial: str = ""
    full: str = ""
    name: str = ""
    recipe: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    differs: str = ""
    metrics: tuple[Metric, ...] = ()
    source: str = ""

    def cells(self, out: Path) -> tuple[str, ...]:
        """A cell for each of COLUMNS."""
        run = Path(*self.folder.relative_to(out).parts[2:])
        step = f"{self.step:,}" + (f" of {self.total:,}" if self.total else "")
        left = "" if self.left is None else f"{self.left:,.0f} min"
        number = " ".join(filter(None, (self.number, f"[{', '.join(self.labels)}]" if self.labels else "")))
        who = (self.name, self.upstream, self.task, str(run), self.differs)
        return (*who, self.state, step, left, number, str(self.log))


def chosen(
    runs: Iterable[Status], upstreams: Sequence[str], tasks: Sequence[str], states: Sequence[str]
) -> list[Status]:
    """The runs of these upstreams (or of this name), tasks and states; of any where none is given."""
    folders = [upstream_folder(name.removeprefix("hf:")) for name in upstreams]
    return [
        run
        for run in runs
        if (not upstreams or run.name in upstreams or run.source in folders)
        and (not tasks or run.task in tasks)
        and (not states or run.state in states)
    ]


def as_json(runs: Sequence[Status], out: Path) -> str:
    """The runs with all that is known of them, keys as the fields of `Status`."""
    content = {"out": str(out), "runs": [dataclasses.asdict(run) for run in runs]}
    return json.dumps(content, indent=1, default=str)


def table(runs: Sequence[Status], out: Path) -> list[tuple[str, ...]]:
    """The heads of the columns and a row for each run, without columns that say nothing."""
    rows = [COLUMNS, *(run.cells(out) for run in runs)]
    kept = [
        place
        for place, head in enumerate(COLUMNS)
        if head not in OPTIONAL or any(row[place] for row in rows[1:])
    ]
    return [tuple(row[place] for place in kept) for row in rows]


def told_apart(runs: Sequence[Status]) -> list[Status]:
    """The runs, each with what tells it from the others of the same upstream, task and recipe."""
    groups: dict[tuple[str, str, str], list[Status]] = {}
    for run in runs:
        if run.settings:
            groups.setdefault((run.upstream, run.task, run.recipe), []).append(run)
    words = {
        run.folder: settings.in_words({key: value for key, value in own.items() if value is not None})
        for group in groups.values()
        for run, own in zip(group, settings.differing([run.settings for run in group]), strict=True)
    }
    return [dataclasses.replace(run, differs=words.get(run.folder, "")) for run in runs]


def find(out: Path) -> Iterator[Status]:
    """Every run below `out`, begun or in Slurm's queue, in the order of their folders; where a result follows
    from several runs (the mean of folds, the choice of a sweep), that too.
    """
    out = out.absolute()
    try:
        jobs = queue.recorded(out)
    except OSError as error:
        raise UsageError(
            f"{out / queue.JOBS} cannot be read ({error.strerror}), the list of the jobs in Slurm was "
            "expected; move it away"
        ) from None
    states = queue.states() if jobs else None
    folders = {out / run for run in jobs}
    for found in store.walk(out, rates=True):
        if found.files & {PLAN, OUTCOME, RESULT}:
            folders.add(found.path)
        folders.update(
            fold
            for fold in (found.path / name for name in found.folds)
            if any((fold / name).exists() for name in (PLAN, OUTCOME))
        )
    for folder in sorted(folders):
        parts = folder.relative_to(out).parts
        run = parts[2:-1] if is_fold(parts[-1]) else parts[2:]
        if not (len(run) == 1 or (len(run) == 3 and run[1] == RATES)):
            continue  # no place for a run: UPSTREAM/TASK/RUN, for RUN also SWEEP/rates/RUN, or a fold of it
        one = of_run(folder, jobs.get(str(folder.relative_to(out))), states)
        # A run that waits has no plan.json yet.
        one = dataclasses.replace(one, source=parts[0])
        yield one if one.task != "?" else dataclasses.replace(one, upstream=parts[0], task=parts[1])


def of_run(folder: Path, job: queue.Job | None = None, states: Mapping[str, str] | None = None) -> Status:
    """What is known of the run in `folder`; files that cannot be read count as absent.

    job: the Slurm job that it was submitted as, if any; states: what Slurm's queue says of jobs, None where
    it says nothing.
    """
    plan = read_json(folder / PLAN) or {}
    metrics, events = _journal(folder / METRICS), _journal(folder / EVENTS)
    state = _state(folder, job, states)
    result = result_of(folder) if state == "done" else None
    step = max((line["step"] for line in [*metrics, *events]), default=0 if result is None else result.steps)
    own, partial = plan.get("settings"), plan.get("partial")
    chosen = own if isinstance(own, dict) else {}
    total = chosen.get(settings.STEPS)
    total = total if isinstance(total, int) else None
    ckpt = plan.get("ckpt")  # what plans of earlier versions tell the weights by
    hashed = ckpt[:8] if isinstance(ckpt, str) and "://" not in ckpt else ckpt
    told = plan.get("weights", hashed)
    partial = shortfall(partial) if isinstance(partial, dict) else ""
    log = folder / S3PRL_LOG
    # A fold's name is in its folder's.
    about = {key: value for key, value in settings.steady(chosen).items() if value != folder.name}
    return Status(
        folder=folder,
        upstream=str(plan.get("upstream", "?")) + (f" ({told})" if told else ""),
        name=name if isinstance(name := plan.get("name") or (result and result.name), str) else "",
        task=str(plan.get("task", "?")),
        state=state,
        step=step,
        total=total,
        left=_left(events, total) if state == "running" and total is not None else None,
        number=_last_number(metrics) if state != "done" else _headlines(result),
        log=log if job is None or log.exists() else job.log,
        said=RunFolder(folder).failure() if state == "failed" else "",
        labels=_labels(plan, [*events, *metrics]) if result is None else result.labels,
        partial=partial or ("" if result is None else result.shortfall),
        full=_full(events),
        recipe=str(plan.get("recipe", "")),
        metrics=() if result is None else result.metrics,
        settings={key: plan[key] for key in TOLD if key in plan} | about,
    )


def _full(events: Sequence[Mapping[str, Any]]) -> str:
    """That the newest process of a run found its store of features full, and at which size."""
    for line in reversed(events):
        if line.get("event") in records.SESSION_EVENTS:
            break
        if line.get("event") == records.STORE_FULL and isinstance(line.get("bytes"), int):
            size = f"{line['bytes'] / 1e9:.1f} GB"
            return f"the store of features is full at {size}; the rest is computed in every pass"
    return ""


def _labels(plan: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What the newest line of the journals is labelled; before there is one, the plan's label of the data."""
    found = lines[-1].get("labels") if lines else plan.get("labels")
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _state(folder: Path, job: queue.Job | None, states: Mapping[str, str] | None) -> str:
    if (folder / RESULT).exists():
        return "done"
    queued = "" if job is None else job.state(states)
    if queued in queue.WAITING:
        return "waiting"
    # Where Slurm answers, a job that it does not know runs no more, whatever a lock of another host says.
    over = job is not None and (states is not None or job.end.exists())
    holder = read_json(folder / LOCK) or {}
    here = holder.get("host") == socket.gethostname()
    if queued in queue.RUNNING or (not lock.is_dead(holder) if here else holder and not over):
        return "running"
    return "failed" if (folder / OUTCOME).exists() else "stopped"


def _left(events: Sequence[dict[str, Any]], total: int) -> float | None:
    """Minutes to the last step at the pace of the newest checkpoints of this process."""
    saved: list[dict[str, Any]] = []
    for line in events:
        if line.get("event") in records.SESSION_EVENTS:
            saved = []
        elif line.get("event") == "checkpoint":
            saved.append(line)
    saved = saved[-RECENT:]
    if len(saved) < 2 or saved[-1]["step"] <= saved[0]["step"]:
        return None
    begin, end = records.moment(saved[0]), records.moment(saved[-1])
    if begin is None or end is None or end <= begin:  # the clock was set back in between
        return None
    pace = (end - begin).total_seconds() / (saved[-1]["step"] - saved[0]["step"])
    return pace * (total - saved[-1]["step"]) / 60


def _journal(path: Path) -> list[dict[str, Any]]:
    try:
        return list(records.read(path))
    except OSError:
        return []


def result_of(folder: Path) -> Result | None:
    """The result in a run's folder; None if there is none that can be used."""
    try:
        return results.read(folder / RESULT)
    except ReportError:
        return None


def _headlines(result: Result | None) -> str:
    """The numbers of a finished run that tables print, or that its result cannot be used."""
    if result is None:
        return f"{RESULT} cannot be used"
    shown = [metric for metric in result.metrics if metric.role == "headline"]
    return f"{', '.join(map(str, shown))} on {shown[0].split}"


def _last_number(metrics: Sequence[dict[str, Any]]) -> str:
    """The newest score, or where there is none the newest value that s3prl logged."""
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):  # a damaged journal
        for line in reversed(metrics):
            for name, score in (line.get("scores") or {}).items():
                return f"{name} {score['value']:.2f} on {line['split']} at {line['step']:,}"
        for line in reversed(metrics):
            for name, value in (line.get("scalars") or {}).items():
                return f"{name} {value:.3f} at {line['step']:,}"
    return ""
