"""Go on with a finished run to more steps, where its schedule gives the steps that were done the same rates.

The longer run has a folder and a result of its own, those of a run that had so many steps from the start.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from downstream_runs.cli.plans import features_of
from downstream_runs.cli.repeat import add_moved, command_of
from downstream_runs.core import results
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
    from downstream_runs.runs import extend, repeat
    from downstream_runs.runs.verify import result_file
    from reports import screen

    file = result_file(options.result).absolute()
    old, folder = results.read(file), file.parent
    command = command_of(old)
    plan = repeat.plan_of(old, command, features_of(command), options, repeat.out_of(old, folder))
    extend.extend(plan, folder, options.steps)
    path = run_dir(extend.longer(plan, options.steps)) / RESULT
    print(f"{screen.of_run(path)}\nresult: {path}")
    return DONE
