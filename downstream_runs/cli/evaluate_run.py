"""Score a whole distillation: every student that its folder keeps, through some tasks, score against step.

It is a proxy: cheap tasks or few steps say how a training goes, and not what its student is worth. How far
its order of the students is that of whole runs is measured with --full.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.cli import plans
from downstream_runs.cli.options import add_run
from downstream_runs.cli.run import run_parser
from downstream_runs.core import results
from downstream_runs.core.run_folder import RESULT
from downstream_runs.launch import batch
from reports.columns import in_percent
from upstream_arm import listings
from upstream_arm.common.arguments import without
from upstream_arm.common.errors import DONE, FAILED, WRONG_USE, UsageError
from upstream_arm.common.files import atomic_write_text
from upstream_arm.common.program import PROGRAM

if TYPE_CHECKING:
    from downstream_runs.launch.grid import Row

UPSTREAM = "armhubert_local"
LAST = "student.safetensors"
KEPT = re.compile(r"student-(\d+)\.safetensors")
TABLE, FIGURE = "proxy.md", "proxy.svg"
NOTE = "A proxy: the same cheap runs for every student of one training, no numbers of SUPERB's."
FULL = "--full"
CHEAP = ("-o", "--steps", "--batch-size")
"""What changes a recipe's settings, and the whole runs are without."""

Rows = Mapping[int, "Sequence[Row]"]
"""By the step of a student."""


@dataclass
class Scores:
    """What the runs that have a result gave: a number, the mean over seeds, by step and measure.

    measures: as a table shows them. labels: of all results. missing: runs without a result.
    """

    values: dict[tuple[int, str], float] = field(default_factory=dict)
    measures: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    @property
    def steps(self) -> list[int]:
        """Of the students that have a number."""
        return sorted({step for step, _ in self.values})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of a run, whose upstream is the folder of a distillation here."""
    add_run(parser)
    parser.add_argument(
        FULL,
        action="store_true",
        help="also do every run by the whole recipe, without -o, --steps and --batch-size, and print "
        "how well the proxy's order of the students agrees",
    )


@listings.remembering()
def run(options: argparse.Namespace) -> int:
    """Do what is missing of the runs, and write the table and the figure into the folder."""
    folder, words = Path(options.upstream).expanduser(), list(options.words)
    if options.ckpt is not None or options.launcher != "local":
        raise UsageError(
            "evaluate-run names each --ckpt itself and runs on this machine: leave out --ckpt and --launcher"
        )
    if options.full and not (options.overrides or options.steps or options.batch_size):
        raise UsageError(
            f"{FULL} holds the proxy against runs by the whole recipe, which these are: make the proxy "
            "cheap, such as with --steps 20"
        )
    for word in (options.upstream, options.task, *([FULL] if options.full else [])):
        words.remove(word)
    asked = [_rows(folder, options.task, words)]
    if options.full:
        asked.append(_rows(folder, options.task, without(words, CHEAP)))
    code = max(_done(rows, options) for rows in asked)
    proxy, *full = map(scores, asked)
    if proxy.values:
        show(folder, proxy, *full)
    return code


def _rows(folder: Path, task: str, words: Sequence[str]) -> Rows:
    """The runs of each student."""
    return {
        step: plans.rows_of(run_parser().parse([UPSTREAM, task, "--ckpt", str(path), *words]))
        for step, path in students(folder).items()
    }


def _done(rows: Rows, options: argparse.Namespace) -> int:
    """Do what is missing of some runs; the exit code."""
    from downstream_runs.launch import local

    every = [row for some in rows.values() for row in some]
    skipped = {} if options.demo else batch.unusable(every)
    usable = [row for row in every if row.plan.task.name not in skipped]
    if not usable:
        return WRONG_USE
    launch = functools.partial(local.run_all, rerun=options.rerun, demo=options.demo, jobs=options.jobs)
    bad = [(row, reason) for row, reason, _ in batch.run(usable, options.rerun, launch) if reason]
    for row, reason in bad:
        print(f"{row.plan.task.name}, {row.plan.ckpt}: {reason}", file=sys.stderr)
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


def scores(rows: Rows) -> Scores:
    """The first headline of each task in percent, where its unit is that."""
    made, found = Scores(), dict[tuple[int, str], list[float]]()
    for step, row in ((step, row) for step, some in rows.items() for row in some):
        path = row.folder() / RESULT
        result = results.read(path) if path.is_file() else None
        metric = next((m for m in result.metrics if m.role == "headline"), None) if result else None
        if result is None or metric is None:
            continue
        measure = f"{row.plan.task.name} {metric.name} {'↓' if metric.direction == 'lower' else '↑'}"
        found.setdefault((step, measure), []).append(in_percent(metric))
        made.measures += [measure] if measure not in made.measures else []
        made.labels += [label for label in result.labels if label not in made.labels]
    made.values = {key: sum(values) / len(values) for key, values in found.items()}
    return made


def show(folder: Path, proxy: Scores, full: Scores | None = None) -> None:
    """Print the table, and write it and the figure into the folder; full: of the runs by the whole recipe."""
    labels = [f"Labels: {', '.join(proxy.labels)}."] if proxy.labels else []
    parts = ["\n".join(_table(proxy)), " ".join([NOTE, *labels])]
    if full is not None:
        whole = f"labels: {', '.join(full.labels) or 'none'}"
        parts += [f"The same students by the whole recipe ({whole}):", "\n".join(_table(full))]
        parts.append("\n".join(_agreement(proxy, full)))
    text = "\n\n".join(parts)
    atomic_write_text(folder / TABLE, text + "\n")
    draw(folder / FIGURE, proxy, full)
    print(f"{text}\n\nwritten to {folder / TABLE} and {folder / FIGURE}")


def _table(one: Scores) -> Iterator[str]:
    yield f"| step | {' | '.join(one.measures)} |"
    yield "|--:" * (len(one.measures) + 1) + "|"
    for step in one.steps:
        values = (one.values.get((step, measure)) for measure in one.measures)
        yield f"| {step} | {' | '.join('–' if value is None else f'{value:.2f}' for value in values)} |"


def _agreement(proxy: Scores, full: Scores) -> Iterator[str]:
    """Kendall's tau of each measure that both have."""
    from reports.statistics.ranks import FEWEST, agreement

    yield (
        "Rank agreement of the proxy with these runs, Kendall's tau-b with its 95 % interval by a bootstrap "
        "over the students:"
    )
    yield ""
    both = {
        measure: [
            (proxy.values[step, measure], full.values[step, measure])
            for step in proxy.steps
            if (step, measure) in full.values and (step, measure) in proxy.values
        ]
        for measure in proxy.measures
    }
    found = agreement(both)
    for measure in proxy.measures:
        fewer = f"none: {len(both[measure])} students in both, at least {FEWEST} were expected"
        yield f"- {measure}: {found.get(measure, fewer)}"


def draw(path: Path, proxy: Scores, full: Scores | None = None) -> None:
    """A panel a task: score against step."""
    from matplotlib.figure import Figure

    measures = proxy.measures
    drawing = Figure(figsize=(3.4 * len(measures), 2.8), layout="constrained")
    drawn = [("proxy", proxy, "o-", "black")]
    drawn += [("whole recipe", full, "s--", "0.55")] if full is not None else []
    for panel, measure in zip(drawing.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        for name, one, style, colour in drawn:
            points = [
                (step, one.values[step, measure]) for step in one.steps if (step, measure) in one.values
            ]
            if points:
                panel.plot(*zip(*points, strict=True), style, color=colour, label=name)
        panel.set_title(measure, fontsize=9)
        panel.set_xlabel("step")
        if full is not None:
            panel.legend(fontsize=7)
    drawing.suptitle(NOTE, fontsize=8)
    drawing.savefig(path)
