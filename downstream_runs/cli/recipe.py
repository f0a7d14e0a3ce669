"""Show the recipes of a task, or one of them as the file that it is, and what rates others published.

To change one: `recipe asr superb > mine.yaml`, then `--recipe mine.yaml`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from downstream_runs import recipes, tasks
from downstream_runs.recipes import rates
from downstream_runs.tasks import own
from upstream_arm.common.errors import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A task, and one of its recipes."""
    parser.add_argument("task", metavar="TASK", help="e.g. asr")
    about = "a name, or a FILE.yaml of your own, to check it"
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", help=about)


def run(options: argparse.Namespace) -> int:
    """Print what was asked for; UsageError for unknown names and for a file that is no recipe of the task."""
    task = own.bare(options.task) if options.task in own.KINDS else tasks.get(options.task)
    superb = tasks.known().get(options.task)
    if superb not in (None, task.name):
        print(f"note: of a --table of your own; SUPERB's task is `recipe {superb}`", file=sys.stderr)
    if options.recipe is None:
        for name, recipe in task.recipes.items():
            print(f"{name:<8} {recipe.note} ({recipe.source})")
        for line in rates.lines(task.name):
            print(line)
        return DONE
    _, chosen = recipes.chosen(task, options.recipe)
    in_file = options.recipe.endswith(recipes.ENDINGS)
    path = Path(options.recipe).expanduser() if in_file else recipes.path_of(task.name, chosen.name)
    print(path.read_text(encoding="utf-8"), end="")
    for line in rates.lines(task.name):  # no part of the file
        print(line, file=sys.stderr)
    return DONE
