"""Take others' results from a repository of results. Each is checked on the way: its numbers are computed
again from its predictions, without the corpus. Reports of your runs then show them, marked as theirs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from upstream_arm.common.errors import DONE, FAILED, say
from upstream_arm.common.program import PROGRAM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The repository, and where one's runs are."""
    add = parser.add_argument
    add("repository", metavar="FOLDER|GIT", help="a repository of results, as `publish --to` takes it")
    about = "folder of your runs; theirs go to DIR/theirs (default: runs)"
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help=about)


def run(options: argparse.Namespace) -> int:
    """Pull, and say what came and what was refused; 1 if anything was."""
    from downstream_runs.share import publishing

    done = publishing.pull(options.repository, options.out)
    for place in done.made:
        print(f"theirs: {place}")
    for problem in done.refused:
        say(f"refused: {problem}", FAILED)
    print(
        f"{len(done.made)} new, {len(done.known)} known or yours, {len(done.refused)} refused; in "
        f"{options.out / publishing.THEIRS}, marked as theirs by {PROGRAM} report --out {options.out}"
    )
    return FAILED if done.refused else DONE
