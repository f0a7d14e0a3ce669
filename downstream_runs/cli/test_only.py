"""Test the head of a finished run on another test set, without training.

The numbers are labelled test-only and kept in the run's folder beside its result: no table takes them for the
task's own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from downstream_runs.cli.repeat import add_moved, finished
from upstream_arm.common.errors import DONE
from upstream_arm.common.program import PROGRAM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, what it is tested on, and what has moved since."""
    parser.add_argument("result", type=Path, metavar="RUN", help="its folder, or its result.json")
    parser.add_argument(
        "--on",
        required=True,
        metavar="SPLIT_OR_TABLE",
        help="a split of the task, such as dev; a folder of its corpus, such as test-other; of a task of a "
        "table, another table, whose test rows are taken",
    )
    add_moved(parser)


def run(options: argparse.Namespace) -> int:
    """Test, and print the numbers and where they are."""
    import dataclasses

    from downstream_runs.runs import test_only
    from reports import screen

    head, folder, plan = finished(options)
    plan = dataclasses.replace(plan, command=(PROGRAM, "test-only", *options.words))
    path = test_only.test_only(plan, head, folder, options.on)
    print(f"{screen.of_run(path)}\nresult: {path}")
    return DONE
