"""Share finished runs: a bundle of each (result, predictions, items, references, hashes; no audio, weights or
paths of this machine) in a repository of results, which others pull and check without the corpus.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from downstream_runs.share import repository
from upstream_arm.common.errors import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs, where they go, and who shares them."""
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUNS", help="folders of runs, or above some")
    about = "a folder, or a git repository (https://, ssh://, user@host:path, file://) that you may push to"
    add("--to", required=True, metavar="FOLDER|GIT", help=about)
    add("--by", metavar="NAME", help="who shares them, as tables will name you (default: git's user.name)")
    add("--data", type=Path, metavar="DIR", help="the corpora of SD and QbE, where they have moved")


def run(options: argparse.Namespace) -> int:
    """Share, and say what was, what was left out, and who may read it."""
    from downstream_runs.share import publishing

    maker = publishing.Maker(options.by or repository.own_name(), options.data)
    done = publishing.publish(options.runs, options.to, maker)
    for place in done.made:
        print(f"shared {place}")
    for place in done.known:
        print(f"there already: {place}")
    for problem in done.refused:
        print(f"note: not in the index: {problem}")
    print(f"{len(done.made)} new, {len(done.known)} there already, in {options.to}")
    print("left out: audio, weights of heads, logs, and the folders of paths (/path/to stands for them)")
    for sentence in done.terms:
        print(f"mind the terms of {sentence}")
    return DONE
