"""Go on with a finished run to more steps, where its schedule gives the steps that were done the same rates.

The longer run has a folder and a result of its own, those of a run that had so many steps from the start.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from downstream_runs.cli.repeat import add_moved, finished
from downstream_runs.core.run import run_dir
from downstream_runs.core.run_folder import RESULT
from downstream_runs.core.settings import MOST
from upstream_arm.common.arguments import between
from upstream_arm.common.errors import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, how many steps it is to have in all, and what has moved since."""
    parser.add_argument("result", type=Path, metavar="RUN", help="its folder, or its result.json")
    parser.add_argument("--steps", type=between(1, MOST), required=True, metavar="N", help="in all")
    add_moved(parser)


def run(options: argparse.Namespace) -> int:
    """Train on, test, and print the numbers and where they are."""
    from downstream_runs.runs import extend
    from reports import screen

    _, folder, plan = finished(options)
    extend.extend(plan, folder, options.steps)
    path = run_dir(extend.longer(plan, options.steps)) / RESULT
    print(f"{screen.of_run(path)}\nresult: {path}")
    return DONE
