"""Print the evaluation block of a model card of the Hugging Face hub (`model-index`) for the runs of one
upstream, the same in words, and BibTeX of the corpora. Labelled results say so in type and name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from upstream_arm.common.errors import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs."""
    about = "folders of runs, or above some; or bundles"
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUNS", help=about)


def run(options: argparse.Namespace) -> int:
    """Print the card's part."""
    from downstream_runs.share.cards import card

    print(card(options.runs))
    return DONE
