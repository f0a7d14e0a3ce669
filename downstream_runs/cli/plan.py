"""Print the runs that these arguments stand for, and what they take; nothing is written."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.cli.options import add_run
from downstream_runs.cli.plans import rows_of
from downstream_runs.core import costs
from downstream_runs.core.corpus import shortfall
from downstream_runs.core.run import resolve_config, run_dir
from downstream_runs.core.run_folder import PLAN, RESULT
from downstream_runs.launch import batch, grid, sweep
from downstream_runs.recipes import rates
from downstream_runs.runs import status
from downstream_runs.upstreams import sources
from upstream_arm.common.errors import DONE, UsageError
from upstream_arm.common.words import columns

if TYPE_CHECKING:
    from downstream_runs.core.run import RunPlan

add_arguments = add_run
COLUMNS = ("", "run", "steps", "state", "hours", "GB", "after", "folder")


@dataclass(frozen=True)
class Line:
    """One thing to do.

    hours: low and high, if known. gb: disk that it keeps; searching: what it takes more until it ends.
    after: the lines that it waits for, by number.
    """

    name: str
    steps: str
    state: str
    hours: tuple[float, float] | None
    after: tuple[int, ...]
    folder: Path
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
    every = list(lines(rows))
    left = [line for line in every if line.steps and line.state != "done"]
    out = options.out.expanduser().absolute()
    table = [COLUMNS, *((str(number), *line.cells(out)) for number, line in enumerate(every, 1))]
    print("\n".join(columns(table, right=())), end="\n\n")
    done = sum(line.state == "done" for line in every if line.steps)
    for sentence in (
        *_needs(rows, options),
        f"{done} of {done + len(left)} runs are done",
        *_rest(left),
        *_disk(rows, left, options.jobs or 1),
        "nothing was written; without `plan` it is done",
    ):
        print(sentence)
    return DONE


def lines(rows: Sequence[grid.Row]) -> Iterator[Line]:
    """Runs, then the means and choices made of them, in the order in which they can be done."""
    count = 0
    for row in rows:
        members = []
        for plan in row.members():
            units = grid.folds(plan)
            for unit in units:
                count += 1
                yield _run(unit, len(units))
            members.append(count)
            if plan.task.folds:
                after = tuple(range(count - len(units) + 1, count + 1))
                count += 1
                members[-1] = count
                name = f"{grid.name(plan)}: mean over {len(units)} folds"
                yield Line(name, "", _made(run_dir(plan)), None, after, run_dir(plan))
        if row.rates:
            count += 1
            name = f"{grid.name(row.plan)}: best of {len(row.rates)} learning rates on dev"
            yield Line(name, "", _made(row.folder()), None, tuple(members), row.folder())


def _run(plan: RunPlan, folds: int) -> Line:
    folder = run_dir(plan)
    total = resolve_config(plan).get("runner", {}).get("total_steps") if plan.task.train_split else None
    steps = f"{total:,}" if total else "no training"
    recipe = plan.task.recipes[plan.recipe]
    gb = costs.run_gb(plan.task, recipe) / folds
    searching = costs.search_gb(plan.task, recipe) * costs.width(plan.upstream)
    hours = _hours(plan, total, folds)
    return Line(grid.name(plan), steps, _state(plan, folder), hours, (), folder, gb, searching)


def _state(plan: RunPlan, folder: Path) -> str:
    if not (folder / PLAN).exists():
        return "to do"
    run = status.of_run(folder)
    if run.state == "done":
        return "done"
    return f"{'diverged' if sweep.diverged(plan) else run.state} at {run.step:,}"


def _made(folder: Path) -> str:
    return "done" if (folder / RESULT).exists() else "to do"


def _hours(plan: RunPlan, total: int | None, folds: int) -> tuple[float, float] | None:
    """Stock s3prl's published hours for the task, in proportion to the steps; a task's folds share them."""
    published = plan.task.cost.hours
    full = plan.task.recipes["superb"].config.get("runner", {}).get("total_steps")
    if not published or not total or not full or not plan.task.recipes[plan.recipe].is_full:
        return None
    low, high = (float(number) for number in (published.split("-") * 2)[:2])
    share = total / full / folds
    return low * share, high * share


def _span(hours: tuple[float, float]) -> str:
    low, high = (f"{number:.1f}" if number < 10 else f"{number:.0f}" for number in hours)
    return low if low == high else f"{low}-{high}"


def _needs(rows: Sequence[grid.Row], options: argparse.Namespace) -> Iterator[str]:
    """Each run prepares its corpus, computes or reads features, trains, selects, tests and scores."""
    yield "each run: prepare the corpus -> features -> train -> select on dev -> test -> score -> result.json"
    plans = {row.plan.task.name: row.plan for row in rows}
    for plan in plans.values():
        where = "made on first use in" if options.demo else f"{plan.task.corpus.name}, expected in"
        if not options.demo:
            yield from _corpus(plan)
        yield f"{plan.task.name} needs: {'a synthetic corpus, ' if options.demo else ''}{where} {plan.data}"
    for row in {(row.plan.upstream, row.plan.task.name): row for row in rows}.values():
        for rate in rates.of_upstream(row.plan.upstream, row.plan.task.name):
            yield f"{row.plan.task.name}'s learning rate as published for {rate.line()}"
    for upstream, plan in {row.plan.upstream: row.plan for row in rows}.items():
        if plan.ckpt is not None:
            yield f"{upstream} needs: {plan.ckpt}"
        if plan.source is not None:
            yield f"{upstream} needs: {plan.source} at {plan.revision}"


def _corpus(plan: RunPlan) -> Iterator[str]:
    """What is wrong with a task's corpus, or how much there is of a partial one."""
    try:
        standing = batch.look(plan, None)
    except (UsageError, OSError) as error:
        yield f"{plan.task.name} would be skipped: {error}"
        return
    if standing.partial:
        yield f"{plan.task.name}: {shortfall(standing.partial)}; labelled {', '.join(standing.labels)}"


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
    stores = _stores(rows, {line.folder for line in left})
    needed = kept + searching + sum(stores.values())
    if left:
        yield f"disk for the rest: about {needed:.1f} GB, of which"
        yield f"  {kept:.1f} GB checkpoints, predictions and results"
    if searching:
        yield f"  {searching:.1f} GB QbE's features of all layers, until it ends"
    yield from (f"  {size:.1f} GB {name}" for name, size in stores.items())
    if stores or searching:
        yield "  features as for 12 layers of 768 values, filter banks apart; --features-gb bounds the store"
    out = rows[0].plan.out
    place = next(path for path in (out, *out.parents) if path.is_dir())
    free = shutil.disk_usage(place).free / 1e9
    short = f": {needed - free:.0f} GB too little; free some, or give another --out" if free < needed else ""
    yield f"free on the disk of {place}: {free:.0f} GB{short}"


def _stores(rows: Sequence[grid.Row], left: Collection[Path]) -> dict[str, float]:
    """Stored features that are shared by the runs of an upstream: what they are of -> GB."""
    stores = {}
    for plan in (unit for row in rows for unit in row.units()):
        task, mode = plan.task, plan.features.mode
        if run_dir(plan) not in left or not task.recipes[plan.recipe].is_full or task.train_split is None:
            continue
        exact = plan.switches.get("batching", sources.usual_batching(plan)) == "exact"
        if mode == "disk" or (mode == "auto" and exact and task.pooled):
            what, gb = costs.store_gb(task, plan.features.precision)
            stores[f"{plan.upstream}'s stored features, {what}"] = gb * costs.width(plan.upstream)
    return stores
