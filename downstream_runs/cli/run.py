"""Train and score SUPERB tasks on frozen upstreams, or continue such runs."""

from __future__ import annotations

import argparse
import functools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.cli.options import add_run
from downstream_runs.cli.plans import rows_of
from downstream_runs.core.run_folder import RESULT
from upstream_arm import listings
from upstream_arm.common.arguments import Parser
from upstream_arm.common.errors import DONE, FAILED, WRONG_USE, UsageError
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.stages import stage

if TYPE_CHECKING:
    from downstream_runs.core.run import RunPlan
    from downstream_runs.launch.batch import Launch
    from downstream_runs.launch.grid import Row

add_arguments = add_run
SLURM = ("partition", "time", "gres", "mem", "constraint", "cpus")


def run_parser(epilog: str | None = None) -> Parser:
    """The parser of a run without the word `run` before it."""
    parser = Parser(
        prog=PROGRAM,
        description=__doc__,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(parser)
    return parser


@listings.remembering()
def run(options: argparse.Namespace) -> int:
    """Do what is missing of the runs that the options ask for, and print their results."""
    from downstream_runs.upstreams import sources

    launch = _launch(options)
    rows = rows_of(options)
    several = len(rows) > 1 or bool(rows[0].rates) or options.launcher != "local"
    for row in rows:
        sources.fetch(row.plan)
    split = (options.jobs or 1) > 1 and rows[0].plan.task.folds
    return _run_many(rows, launch, options) if several or split else _run_one(rows[0].plan, options)


def _launch(options: argparse.Namespace) -> Launch:
    """How runs are started; UsageError for options of Slurm's without `--launcher slurm`."""
    asked = {name: value for name in SLURM if (value := getattr(options, f"slurm_{name}")) is not None}
    given = {"rerun": options.rerun, "demo": options.demo, "jobs": options.jobs}
    if options.launcher == "slurm":
        from downstream_runs.launch import slurm

        return functools.partial(slurm.run_all, **given, asked=asked)
    if asked:
        raise UsageError(f"--slurm-{next(iter(asked))} is for --launcher slurm: add that, or leave it out")
    from downstream_runs.launch import local

    return functools.partial(local.run_all, **given)


def _run_one(plan: RunPlan, options: argparse.Namespace) -> int:
    recipe, corpus = plan.task.recipes[plan.recipe], "synthetic speech (demo)" if options.demo else plan.data
    print(f"{plan.task.title} on {plan.upstream} with {corpus}", file=sys.stderr)
    print(f"recipe {recipe.name}: {recipe.note}", file=sys.stderr)
    with stage("loading torch and s3prl"):
        from downstream_runs import engine

    engine.run(plan, rerun=options.rerun, with_demo=options.demo)
    folder = engine.run_dir(plan)
    result = folder / RESULT
    _show(options, result)
    print(f"result: {result}\nrun:    {folder}")
    _next(options)
    return DONE


def _run_many(rows: Sequence[Row], launch: Launch, options: argparse.Namespace) -> int:
    from downstream_runs.launch import batch, grid

    skipped = {} if options.demo else batch.unusable(rows)
    usable = [row for row in rows if row.plan.task.name not in skipped]
    ended = batch.run(usable, options.rerun, launch) if usable else []
    good = [row.folder() / RESULT for row, reason, _ in ended if not reason]
    if good:
        _show(options, *good)
    bad = [one for one in ended if one[1]]
    for row, reason, log in bad:
        print(f"{grid.name(row.plan)}: {reason}" + (f" (log: {log})" if log else ""))
    for row in rows:
        if row.plan.task.name in skipped:
            print(f"{grid.name(row.plan)}: skipped: {skipped[row.plan.task.name]}")
    print(f"{len(good)} of {len(rows)} runs have results, under {options.out}")
    if good:
        _next(options)
    return WRONG_USE if not usable else FAILED if bad or skipped else DONE


def _show(options: argparse.Namespace, *results: Path) -> None:
    """The numbers on one screen, or where it is asked for the table with the published rows."""
    if options.published:
        from reports.__main__ import main as reports

        reports(["table", *map(str, results)])
        print()
        return
    from reports import screen

    print(screen.of_run(results[0]) if len(results) == 1 else screen.of_runs(results))


def _next(options: argparse.Namespace) -> None:
    """What may be done with the results."""
    out = shlex.quote(str(options.out))
    print(f"next:   {PROGRAM} report --out {out} (tables, figures, a page), or table {out} (published rows)")
