"""Make Libri2Mix, the corpus of sd, from LibriSpeech and WHAM! noise, or go on where that was stopped.

Only what SUPERB reads is made (8.2 GB), with the samples of LibriMix's own script. Its tables (9 MB) are
fetched from s3prl's fork of LibriMix unless a clone of it is there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from downstream_runs.corpora import data_root, mixing
from upstream_arm.common.arguments import between
from upstream_arm.common.errors import DONE
from upstream_arm.common.program import PROGRAM

MIXING = ("librispeech", "wham", "metadata", "jobs", "mix_on_the_fly")
"""What `add_mixing` adds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the sources are, and where Libri2Mix goes."""
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="folder of the corpora, in which Libri2Mix/ is made")
    add_mixing(parser)
    add("--partial", action="store_true", help="leave out mixtures of which a source is not there")


def add_mixing(parser: argparse.ArgumentParser) -> None:
    """Of what Libri2Mix is made, and how."""
    add = parser.add_argument_group("Libri2Mix, the corpus of sd").add_argument
    add(
        "--librispeech",
        type=Path,
        metavar="DIR",
        help="with train-clean-100 (default: LibriSpeech in --data)",
    )
    add("--wham", type=Path, metavar="DIR", help="with tr, cv and tt (default: wham_noise in --data)")
    add("--metadata", type=Path, metavar="DIR", help="clone of s3prl/LibriMix (default: LibriMix in --data)")
    add("--jobs", type=between(1, 1024), metavar="N", help="mixtures at a time (default: one a core)")
    add(
        "--mix-on-the-fly",
        action="store_true",
        help="write no audio: a run then mixes what it reads, and the sources must stay where they are",
    )


def run(options: argparse.Namespace) -> int:
    """Make it, and say what there is."""
    root = data_root.data_root(options.data)
    if root is None:
        raise data_root.no_data("mix", "LibriSpeech and WHAM! noise")
    print(f"{make(options, root.path)}; next: {PROGRAM} check sd --data {root.path}")
    return DONE


def make(options: argparse.Namespace, data: Path) -> str:
    """Make Libri2Mix in `data` as the options say, and say what there is; UsageError as of `mixing.make`."""
    made = mixing.make(
        options.librispeech or data,
        options.wham or data,
        options.metadata,
        data,
        options.jobs,
        on_the_fly=options.mix_on_the_fly,
        partial=options.partial,
    )
    counts = ", ".join(f"{split} {number:,}" for split, number in made.mixtures.items())
    how = "mixed when they are read" if options.mix_on_the_fly else f"{made.written:,} of them written now"
    return f"{made.root}: {counts} mixtures, {how}"
