"""`python -m downstream_runs score`: score predictions that already exist."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from downstream_runs.scoring.entries import ENTRIES, Entry
from upstream_arm.common.arguments import Parser
from upstream_arm.common.errors import UsageError, sentence


def main(argv: Sequence[str] | None = None) -> int:
    """Print one JSON object with rate, counts and notes (the notes on stderr too).

    Returns 2, after one sentence, for input that cannot be used.
    """
    try:
        arguments = _parser().parse_args(argv)
        entry = ENTRIES[arguments.metric]
        found = entry.run(arguments)
    except UsageError as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2
    for note in found["notes"]:
        print(f"note: {note}", file=sys.stderr)
    printed = {
        "metric": arguments.metric,
        **found,
        "definition": entry.definition,
        "source": entry.source,
        "ref": None if arguments.ref is None else str(arguments.ref),
        "hyp": str(arguments.hyp),
    }
    print(json.dumps(printed, indent=2))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m downstream_runs score", description="Score predictions that already exist."
    )
    commands = parser.add_subparsers(dest="metric", required=True, metavar="METRIC")
    for metric, entry in ENTRIES.items():
        _add(commands.add_parser(metric, help=entry.title, description=_description(metric, entry)), entry)
    der, mtwv = commands.choices["der"], commands.choices["mtwv"]
    der.add_argument("--uem", type=Path, metavar="FILE", help="scored regions: score these files and parts")
    der.add_argument(
        "--collar", type=float, default=0.0, metavar="SECONDS", help="not scored around reference times (0)"
    )
    der.add_argument(
        "--ignore-overlaps", action="store_true", help="do not score where several reference speakers speak"
    )
    mtwv.add_argument(
        "--default-score", type=float, default=-10.0, metavar="SCORE", help="of missing trials (-10)"
    )
    return parser


def _add(command: argparse.ArgumentParser, entry: Entry) -> None:
    command.add_argument("--ref", type=Path, required=entry.ref_needed, metavar="PATH", help=entry.ref)
    command.add_argument("--hyp", type=Path, required=True, metavar="FILE", help=entry.hyp)


def _description(metric: str, entry: Entry) -> str:
    return f"{metric.upper()}: {entry.definition}. Source: {entry.source}. {entry.files}"
