"""Score a whole distillation: every student that its folder keeps, through some tasks, score against step.

It is a proxy: cheap tasks or few steps say how a training goes, and not what its student is worth.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.cli.options import add_run
from upstream_arm import listings
from upstream_arm.common.errors import DONE, FAILED, WRONG_USE, UsageError
from upstream_arm.common.program import PROGRAM

if TYPE_CHECKING:
    from downstream_runs.launch.grid import Row
    from reports.columns import Column

UPSTREAM = "armhubert_local"
LAST = "student.safetensors"
KEPT = re.compile(r"student-(\d+)\.safetensors")
TABLE, FIGURE = "proxy.md", "proxy.svg"
NOTE = "A proxy: the same cheap runs for every student of one training, no numbers of SUPERB's."

Scores = Mapping[tuple[int, str], float]
"""By step and key of a column, in percent."""


add_arguments = add_run  # the folder stands in the place of the upstream


@listings.remembering()
def run(options: argparse.Namespace) -> int:
    """Do what is missing of the runs, and write the table and the figure into the folder."""
    from downstream_runs.cli.plans import rows_of
    from downstream_runs.cli.run import run_parser
    from downstream_runs.launch import batch, local

    folder, rest = Path(options.upstream).expanduser(), list(options.words)
    if options.ckpt is not None or options.launcher != "local":
        raise UsageError(
            "evaluate-run names each --ckpt itself and runs on this machine: leave out --ckpt and --launcher"
        )
    rest.remove(options.upstream)
    rest.remove(options.task)
    asked = {
        step: run_parser().parse([UPSTREAM, options.task, "--ckpt", str(path), *rest])
        for step, path in students(folder).items()
    }
    rows = {step: rows_of(one) for step, one in asked.items()}
    every = [row for some in rows.values() for row in some]
    if any(row.plan.task.own is not None for row in every):
        raise UsageError(
            f"evaluate-run shows scores of SUPERB's tasks, and {options.task} is none of them: name one or "
            f"more of these, as `{PROGRAM} list` shows them"
        )
    skipped = {} if options.demo else batch.unusable(every)
    usable = [row for row in every if row.plan.task.name not in skipped]
    if not usable:
        return WRONG_USE

    launch = functools.partial(local.run_all, rerun=options.rerun, demo=options.demo, jobs=options.jobs)
    bad = [(row, reason) for row, reason, _ in batch.run(usable, options.rerun, launch) if reason]
    for row, reason in bad:
        print(f"{row.plan.task.name}, {row.plan.ckpt}: {reason}", file=sys.stderr)
    found, columns = scores(rows)
    if found:
        show(folder, found, columns)
    return FAILED if bad or skipped else DONE


def students(folder: Path) -> dict[int, Path]:
    """Step -> the student after it, first to last; UsageError where there is none."""
    from upstream_arm.checkpoint import read

    kept = {int(name[1]): path for path in folder.glob("*") if (name := KEPT.fullmatch(path.name))}
    chosen = dict(sorted(kept.items()))
    if (folder / LAST).is_file():
        last = folder / LAST
        chosen[int(read(last).metadata.get("steps", max(kept, default=0) + 1))] = last
    if not chosen:
        raise UsageError(
            f"{folder} keeps no student (student-STEP.safetensors or {LAST}), expected the folder of a "
            f"distillation: make one with `{PROGRAM} distill --keep-every STEPS`"
        )
    return chosen


def scores(rows: Mapping[int, Sequence[Row]]) -> tuple[Scores, list[Column]]:
    """What the runs that have a result gave, by the first column of each task; the mean over seeds."""
    from downstream_runs.core import results
    from downstream_runs.core.run_folder import RESULT
    from reports.columns import COLUMNS, in_percent

    found: dict[tuple[int, str], list[float]] = {}
    used: dict[str, Column] = {}
    for step, some in rows.items():
        for row in some:
            path = row.folder() / RESULT
            column = next(one for one in COLUMNS if one.task == row.plan.task.name)
            metric = results.read(path).headline(column.metric) if path.is_file() else None
            if metric is not None:
                used[column.key] = column
                found.setdefault((step, column.key), []).append(in_percent(metric))
    return {key: sum(values) / len(values) for key, values in found.items()}, list(used.values())


def show(folder: Path, found: Scores, columns: Sequence[Column]) -> None:
    """Print the table, and write it and the figure into the folder."""
    from upstream_arm.common.files import atomic_write_text

    steps = sorted({step for step, _ in found})
    lines = [
        f"| step | {' | '.join(column.header for column in columns)} |",
        "|--:" * (len(columns) + 1) + "|",
    ]
    for step in steps:
        cells = [f"{found[step, one.key]:.2f}" if (step, one.key) in found else "–" for one in columns]
        lines.append(f"| {step} | {' | '.join(cells)} |")
    text = "\n".join([*lines, "", NOTE])
    atomic_write_text(folder / TABLE, text + "\n")
    draw(folder / FIGURE, found, columns)
    print(f"{text}\n\nwritten to {folder / TABLE} and {folder / FIGURE}")


def draw(path: Path, found: Scores, columns: Sequence[Column]) -> None:
    """A panel a task: score against step."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(3.4 * len(columns), 2.8), layout="constrained")
    for panel, column in zip(drawing.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
        points = sorted((step, value) for (step, key), value in found.items() if key == column.key)
        panel.plot(*zip(*points, strict=True), "o-", color="black")
        panel.set_title(column.header, fontsize=9)
        panel.set_xlabel("step")
    drawing.suptitle(NOTE, fontsize=8)
    drawing.savefig(path)
