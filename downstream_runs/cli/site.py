"""Make a leaderboard of a repository of results: one page, sorted and filtered in the browser, that works
from a file and on any web server. Bundles are checked first; what disagrees with itself is left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from upstream_arm.common.errors import DONE, FAILED, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The repository, and where the page goes."""
    add = parser.add_argument
    add("repository", metavar="FOLDER|GIT", help="a repository of results, as `publish --to` takes it")
    add("--out", type=Path, default=Path("site"), metavar="DIR", help="where it is written (default: site)")


def run(options: argparse.Namespace) -> int:
    """Write the page; 1 if bundles had to be left out."""
    from downstream_runs.share.site import build

    built = build(options.repository, options.out)
    for problem in built.refused:
        say(f"left out: {problem}", FAILED)
    rows = "1 row" if built.entries == 1 else f"{built.entries} rows"
    print(f"wrote {built.page} with {rows}; open it in a browser, or put it on a web server")
    return FAILED if built.refused else DONE
