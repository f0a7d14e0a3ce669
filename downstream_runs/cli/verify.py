"""Hold a result against its own hash, its files' hashes, and scores recomputed from the predictions, items
and trials beside it. Of a bundle (`publish`) every number and label, without the corpus.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from downstream_runs.core.run_folder import BUNDLE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The result, and where its corpus is."""
    parser.add_argument(
        "result", type=Path, metavar="RESULT.json", help="or the folder of its run, or a bundle"
    )
    about = "QbE's corpus, whose ground truth is needed, where it has moved"
    parser.add_argument("--data", type=Path, metavar="DIR", help=about)
    about = "the code of a task of a file, which is run"
    parser.add_argument("--task-file", type=Path, metavar="FILE", help=about)


def run(options: argparse.Namespace) -> int:
    """Print what agrees and what does not; 0 if all agrees, else 1."""
    folder = options.result if options.result.is_dir() else options.result.parent
    if (folder / BUNDLE).is_file():
        from downstream_runs.share import checked

        return checked.verify(folder)
    from downstream_runs.runs.verify import verify

    return verify(options.result, options.data, options.task_file)
