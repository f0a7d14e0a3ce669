"""Delete runs with their results. Without --yes it only says what would go."""

from __future__ import annotations

import argparse

from downstream_runs.cli.options import add_chosen_runs
from downstream_runs.runs import manage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs, and whether they go."""
    add_chosen_runs(parser)
    parser.add_argument("--yes", action="store_true", help="delete what is listed")


def run(options: argparse.Namespace) -> int:
    """Delete folders of runs, after saying which."""
    return manage.clean(options)
