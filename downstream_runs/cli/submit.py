"""Write the predict.zip that the SUPERB leaderboard takes, from the finished runs of all ten tasks; what is
missing is named, and then nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from downstream_runs.runs import submission
from upstream_arm.common.errors import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The upstream, and which of its runs are taken."""
    add = parser.add_argument
    add("upstream", metavar="UPSTREAM", help="as in the runs, e.g. armhubert")
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs (default: runs)")
    add("--recipe", default="superb", metavar="NAME", help="runs to take (default: superb)")
    about = "take this run for its task, whatever its recipe; may be given for each task"
    add("--run", type=Path, action="append", default=[], metavar="DIR", help=about)
    about = "take labelled runs (demo, shortened, partial, ...) too; the zip's name and README say so"
    add("--labelled", action="store_true", help=about)


def run(options: argparse.Namespace) -> int:
    """Write the zip, and say where it is and what it is good for."""
    path = submission.submit(
        options.upstream,
        options.out.expanduser().absolute(),
        recipe=options.recipe,
        chosen=[submission.run_folder(place.expanduser().absolute()) for place in options.run],
        labelled=options.labelled,
    )
    print(f"wrote {path} ({path.stat().st_size:,} bytes): predictions of {len(submission.submitted())} tasks")
    if path.stem == "predict":
        print("upload it at https://superbbenchmark.org")
    else:
        print("its runs are labelled, so it is no entry for the leaderboard", file=sys.stderr)
    return DONE
