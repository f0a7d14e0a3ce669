"""Show the runs of a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from upstream_arm.common.errors import UsageError

WATCH_SECONDS, LEAST_SECONDS, MOST_SECONDS = 5.0, 0.2, 86_400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the runs are, and how they are shown."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are (default: runs)")
    add("--html", type=Path, metavar="FILE", help="write it as a page into FILE")
    add(
        "--watch",
        type=float,
        nargs="?",
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help="show it again every so many seconds (default: 5) until no run is running or waiting, or Ctrl-C",
    )


def run(options: argparse.Namespace) -> int:
    """Print a line for each run, once or until nothing changes any more."""
    from downstream_runs.runs import status

    if options.watch is not None and not LEAST_SECONDS <= options.watch <= MOST_SECONDS:
        raise UsageError(
            f"--watch is {options.watch:g}, expected at least {LEAST_SECONDS:g} seconds and at most a day"
        )
    return status.show(options.out, options.html, options.watch)
