"""Print the runs that these arguments stand for, and what they take; nothing is written."""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from downstream_runs.cli.options import add_run
from downstream_runs.cli.plans import rows_of
from downstream_runs.core.corpus import shortfall
from downstream_runs.core.run import RunPlan, resolve_config, run_dir
from downstream_runs.core.run_folder import PLAN, RESULT
from downstream_runs.core.task import TaskSpec
from downstream_runs.features.cache import MEMORY_BYTES
from downstream_runs.launch import batch, grid, sweep
from downstream_runs.recipes import rates
from downstream_runs.runs import status
from downstream_runs.upstreams import sources
from upstream_arm.common.errors import DONE, UsageError
from upstream_arm.common.words import columns, span

add_arguments = add_run
COLUMNS = ("", "run", "steps", "state", "hours", "GB", "after", "folder")

SHORT_RUN_GB = 0.03
"""Of the disk, at most, for a run of a recipe that is not meant for a whole corpus."""
FRAMES_GB_AN_HOUR = 3.3
"""Stored frames of 12 x 768 values in fp16, 50 a second; twice that in fp32."""
LAYERS = 12
"""Of these; a run with `--layer` stores one of them."""
POOLED_GB = 74e-6
"""A stored utterance of a task whose head takes the mean over frames: two vectors of 12 x 768 in fp32."""
FILTERBANK_SHARE = 0.06
"""What s3prl's fbank and mfcc take of that: up to 240 values at 100 frames a second."""


@dataclass(frozen=True)
class Line:
    """One thing to do.

    hours: low and high, if known. gb: disk that it keeps; searching: what it takes more until it ends.
    after: the lines that it waits for, by number.
    """

    name: str
    folder: Path
    state: str
    steps: str = ""
    hours: tuple[float, float] | None = None
    after: tuple[int, ...] = ()
    gb: float = 0.0
    searching: float = 0.0

    def cells(self, out: Path) -> tuple[str, ...]:
        """The columns of the table but the first."""
        hours = _span(self.hours) if self.hours else ""
        size = f"{self.gb + self.searching:.2f}" if self.gb else ""
        after = ", ".join(map(str, self.after))
        return (self.name, self.steps, self.state, hours, size, after, str(self.folder.relative_to(out)))


def run(options: argparse.Namespace) -> int:
    """Print the plan as a table, then what all of it needs and takes."""
    rows = rows_of(options)
    every = lines(rows)
    runs = [line for line in every if line.steps]
    left = [line for line in runs if line.state != "done"]
    out = options.out.expanduser().absolute()
    table = [COLUMNS, *((str(number), *line.cells(out)) for number, line in enumerate(every, 1))]
    print("\n".join(columns(table, right=())), end="\n\n")
    for sentence in (
        *_needs(rows, options),
        f"{len(runs) - len(left)} of {len(runs)} runs are done",
        *_rest(left),
        *_disk(rows, left, options.jobs or 1),
        "nothing was written; without `plan` it is done",
    ):
        print(sentence)
    return DONE


def lines(rows: Sequence[grid.Row]) -> list[Line]:
    """Runs, then the means and choices made of them, in the order in which they can be done."""
    every: list[Line] = []
    for row in rows:
        members = []
        for plan in row.members():
            units = grid.folds(plan)
            numbers = [_add(unit, len(units), every) for unit in units]
            if plan.task.folds:
                name = f"{grid.name(plan)}: mean over {len(units)} folds"
                every.append(_made(name, run_dir(plan), tuple(numbers)))
            members.append(len(every))
        if row.rates:
            name = f"{grid.name(row.plan)}: best of {len(row.rates)} learning rates on dev"
            every.append(_made(name, row.folder(), tuple(members)))
    return every


def _add(plan: RunPlan, folds: int, every: list[Line]) -> int:
    """Add a run, and before one with noise the run that trains what it tests; the number of its line."""
    line = _run(plan, folds)
    if plan.noise is not None and plan.task.train_split is not None:
        trained = _run(plan.without_noise, folds)
        if trained not in every:
            every.append(trained)
        line = replace(line, steps="test only", hours=None, after=(every.index(trained) + 1,))
    every.append(line)
    return len(every)


def _made(name: str, folder: Path, after: tuple[int, ...]) -> Line:
    return Line(name, folder, "done" if (folder / RESULT).exists() else "to do", after=after)


def _run(plan: RunPlan, folds: int) -> Line:
    folder, state, task = run_dir(plan), "to do", plan.task
    if (folder / PLAN).exists():
        run = status.of_run(folder)
        how = "diverged" if run.state != "done" and sweep.diverged(plan) else run.state
        state = how if run.state == "done" else f"{how} at {run.step:,}"
    total = resolve_config(plan).get("runner", {}).get("total_steps") if task.train_split else None
    full = task.recipes[plan.recipe].is_full
    return Line(
        grid.name(plan),
        folder,
        state,
        steps=f"{total:,}" if total else "no training",
        hours=_hours(plan, total, folds) if total and full else None,
        gb=(task.cost.run_gb if full else SHORT_RUN_GB) / folds,
        searching=task.cost.search_gb * _width(plan.upstream) if full else 0.0,
    )


def _hours(plan: RunPlan, total: int, folds: int) -> tuple[float, float] | None:
    """Stock s3prl's published hours for the task, in proportion to the steps; a task's folds share them."""
    full = plan.task.recipes["superb"].config.get("runner", {}).get("total_steps")
    if not plan.task.cost.hours or not full:
        return None
    low, high = (float(number) for number in (plan.task.cost.hours.split("-") * 2)[:2])
    return low * total / full / folds, high * total / full / folds


def _width(upstream: str) -> float:
    """The size of an upstream's features in units of 12 layers of 768 values at 50 frames a second."""
    return FILTERBANK_SHARE if upstream.startswith(("fbank", "mfcc")) else 1.0


def _span(hours: tuple[float, float]) -> str:
    return span(*(f"{number:.1f}" if number < 10 else f"{number:.0f}" for number in hours))


def _needs(rows: Sequence[grid.Row], options: argparse.Namespace) -> Iterator[str]:
    """Each run prepares its corpus, computes or reads features, trains, selects, tests and scores."""
    yield "each run: prepare the corpus -> features -> train -> select on dev -> test -> score -> result.json"
    for name, plan in {row.plan.task.name: row.plan for row in rows}.items():
        if options.demo:
            yield f"{name} needs: a synthetic corpus, made on first use in {plan.data}"
            continue
        try:
            standing = batch.look(plan, None)
        except (UsageError, OSError) as error:
            yield f"{name} would be skipped: {error}"
        else:
            if standing.partial:
                yield f"{name}: {shortfall(standing.partial)}; labelled {', '.join(standing.labels)}"
        yield f"{name} needs: {plan.task.corpus.name}, expected in {plan.data}"
    for row in {(row.plan.upstream, row.plan.task.name): row for row in rows}.values():
        for rate in rates.of_upstream(row.plan.upstream, row.plan.task.name):
            yield f"{row.plan.task.name}'s learning rate as published for {rate.line()}"
    for upstream, plan in {row.plan.upstream: row.plan for row in rows}.items():
        if plan.ckpt is not None:
            yield f"{upstream} needs: {plan.ckpt}"
        if plan.source is not None:
            yield f"{upstream} needs: {plan.source} at {plan.revision}"


def _rest(left: Sequence[Line]) -> Iterator[str]:
    known = [line.hours for line in left if line.hours]
    if known:
        total = _span((sum(low for low, _ in known), sum(high for _, high in known)))
        unknown = len(left) - len(known)
        also = f", and {unknown} without a published figure" if unknown else ""
        yield f"estimate for the rest: {total} hours on one H100 with stock s3prl{also}"


def _disk(rows: Sequence[grid.Row], left: Sequence[Line], jobs: int) -> Iterator[str]:
    """What the rest will take, beside the corpora, and whether there is room for it."""
    kept = sum(line.gb for line in left)
    searching = sum(sorted((line.searching for line in left), reverse=True)[:jobs])
    folders = {line.folder for line in left}
    stores, memory = _stores(rows, folders, "disk"), _stores(rows, folders, "memory")
    least, needed = (kept + searching + sum(size[end] for size in stores.values()) for end in (0, 1))
    if left:
        yield f"disk for the rest: about {_gigabytes(least, needed)} GB, of which"
        yield f"  {kept:.1f} GB checkpoints, predictions and results"
    if searching:
        yield f"  {searching:.1f} GB QbE's features of all layers, until it ends"
    yield from (f"  {_gigabytes(*size)} GB {name}" for name, size in stores.items())
    yield from (f"memory of each process: {_gigabytes(*size)} GB {name}" for name, size in memory.items())
    if any(least < most for least, most in (*stores.values(), *memory.values())):
        yield "  least: all training utterances are so long that they are cropped at random; most: none is"
    if stores or searching or memory:
        yield "  features as for 12 layers of 768 values, filter banks apart; --features-gb bounds the store"
    out = rows[0].plan.out
    place = next(path for path in (out, *out.parents) if path.is_dir())
    free = shutil.disk_usage(place).free / 1e9
    short = f": {needed - free:.0f} GB too little; free some, or give another --out" if free < needed else ""
    yield f"free on the disk of {place}: {free:.0f} GB{short}"


def _gigabytes(least: float, most: float) -> str:
    return span(f"{least:.1f}", f"{most:.1f}")


def _stores(
    rows: Sequence[grid.Row], left: Collection[Path], where: Literal["disk", "memory"]
) -> dict[str, tuple[float, float]]:
    """Features that are stored on disk, shared by the runs of an upstream, or in memory: of what -> GB, least
    and most.
    """
    stores = {}
    for plan in (unit.without_noise for row in rows for unit in row.units()):
        task, mode = plan.task, plan.features.mode
        if run_dir(plan) not in left or not task.recipes[plan.recipe].is_full or task.train_split is None:
            continue
        exact = plan.switches.get("batching", sources.usual_batching(plan)) == "exact"
        pooled_by_itself = mode == "auto" and exact and task.pooled and where == "disk"
        if mode == where or pooled_by_itself:
            what, sizes = _store(task, plan.features.precision)
            scale = _width(plan.upstream) / (1 if plan.layer is None else LAYERS)
            usual = MEMORY_BYTES if where == "memory" else math.inf
            bound = (plan.features.limit or usual) / 1e9
            least, most = (gb * scale for gb in sizes)
            if most > bound:
                what += (
                    f", all that it may hold of {_gigabytes(least, most)}; the rest is computed in every pass"
                )
            stores[f"{plan.upstream}'s stored features, {what}"] = min(least, bound), min(most, bound)
    return stores


def _store(task: TaskSpec, precision: str) -> tuple[str, tuple[float, float]]:
    """What stored features are of, as tasks share them, and GB for 12 layers of 768, least and most."""
    least, most = task.stored(most=False), task.stored(most=True)
    if task.pooled:
        return f"pooled {task.name}", (least.utterances * POOLED_GB, most.utterances * POOLED_GB)
    rate = FRAMES_GB_AN_HOUR * (2 if precision == "fp32" else 1)
    return f"frames of {task.corpus.name}", (least.hours * rate, most.hours * rate)
