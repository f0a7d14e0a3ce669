"""Print the end of each log of the runs, or of all with --lines 0."""

from __future__ import annotations

import argparse

from downstream_runs.cli.options import add_chosen_runs
from downstream_runs.runs import manage
from upstream_arm.common.arguments import between


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs, and how much of their logs."""
    add_chosen_runs(parser)
    parser.add_argument("--lines", type=between(0, 10**9), default=20, metavar="N", help="default: 20")


def run(options: argparse.Namespace) -> int:
    """Print the ends of the logs."""
    return manage.logs(options)
