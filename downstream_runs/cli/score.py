"""Score predictions that already exist."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from downstream_runs.scoring.entries import ENTRIES
from upstream_arm.common.errors import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A metric, with its references and predictions."""
    metrics = parser.add_subparsers(dest="metric", required=True, metavar="METRIC")
    for metric, entry in ENTRIES.items():
        about = f"{metric.upper()}: {entry.definition}. Source: {entry.source}. {entry.files}"
        add = metrics.add_parser(metric, help=entry.title, description=about).add_argument
        add("--ref", type=Path, required=entry.ref_needed, metavar="PATH", help=entry.ref)
        add("--hyp", type=Path, required=True, metavar="FILE", help=entry.hyp)
    der = metrics.choices["der"].add_argument
    der("--uem", type=Path, metavar="FILE", help="scored regions: score these files and parts")
    der("--collar", type=float, default=0.0, metavar="SECONDS", help="not scored around reference times (0)")
    der("--ignore-overlaps", action="store_true", help="do not score where several reference speakers speak")
    metrics.choices["mtwv"].add_argument(
        "--default-score", type=float, default=-10.0, metavar="SCORE", help="of missing trials (-10)"
    )


def run(options: argparse.Namespace) -> int:
    """Print one JSON object with rate, counts and notes (the notes on stderr too)."""
    entry = ENTRIES[options.metric]
    score = entry.run(options)
    for note in score["notes"]:
        print(f"note: {note}", file=sys.stderr)
    printed = {
        "metric": options.metric,
        **score,
        "definition": entry.definition,
        "source": entry.source,
        "ref": None if options.ref is None else str(options.ref),
        "hyp": str(options.hyp),
    }
    print(json.dumps(printed, indent=2))
    return DONE
