"""Run what made a result once more, into a fresh folder, and compare the numbers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.cli.plans import features_of
from downstream_runs.cli.run import run_parser
from downstream_runs.core import results
from upstream_arm.common.errors import UsageError
from upstream_arm.common.program import NAMES, PROGRAM

if TYPE_CHECKING:
    from downstream_runs.core.results import Result
    from downstream_runs.core.run import RunPlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The result, where it is run again, and what has moved since."""
    parser.add_argument("result", type=Path, metavar="RESULT.json", help="or the folder of its run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    add_moved(parser)


def add_moved(parser: argparse.ArgumentParser) -> None:
    """What of a finished run may be elsewhere by now."""
    parser.add_argument("--data", type=Path, metavar="DIR", help="the corpora, where they have moved")
    parser.add_argument("--ckpt", metavar="FILE", help="the checkpoint, where it has moved")
    parser.add_argument("--model-config", metavar="FILE", help="the model's yaml, where it has moved")
    parser.add_argument("--device", metavar="NAME", help="another device than that of the command")


def run(options: argparse.Namespace) -> int:
    """Print what is the same again and what is not; 0 if every number is the same, else 1."""
    from downstream_runs.runs.repeat import repeat
    from downstream_runs.runs.verify import result_file

    result = results.read(result_file(options.result))
    command = command_of(result)
    return repeat(result, command, features_of(command), options)


def finished(options: argparse.Namespace) -> tuple[Result, Path, RunPlan]:
    """The result, the folder and the plan of the run that `options.result` names, with what has moved."""
    from downstream_runs.runs.repeat import out_of, plan_of
    from downstream_runs.runs.verify import result_file

    file = result_file(options.result).absolute()
    result, folder = results.read(file), file.parent
    command = command_of(result)
    return result, folder, plan_of(result, command, features_of(command), options, out_of(result, folder))


def command_of(result: Result) -> argparse.Namespace:
    """The options of the command that made a result; UsageError if it was no run's command line."""
    words = list(result.command)
    try:
        if words[0] not in NAMES:
            raise ValueError(words[0])
        return run_parser().parse_args(words[1:])
    except (SystemExit, LookupError, ValueError, UsageError):
        raise UsageError(
            f"the result was made by {' '.join(words)!r}, no run's command of {PROGRAM}, so it cannot "
            "be repeated; run it by hand"
        ) from None
