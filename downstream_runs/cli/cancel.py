"""Stop runs, or take them from Slurm's queue; the same command goes on later."""

from __future__ import annotations

import argparse

from downstream_runs.cli.options import add_chosen_runs
from downstream_runs.runs import manage

add_arguments = add_chosen_runs


def run(options: argparse.Namespace) -> int:
    """Stop the runs in good order; 1 if one cannot be stopped from here."""
    return manage.cancel(options)
