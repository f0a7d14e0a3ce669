"""`python -m downstream_runs score`: score transcripts that already exist."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from downstream_runs.errors import UsageError
from downstream_runs.scoring import wer

DEFINITION = (
    "edit distance (substitutions + insertions + deletions) summed over all utterances / "
    "reference {unit} summed over all utterances; {split}"
)
METRICS: dict[str, tuple[wer.Unit, str]] = {
    "wer": (
        "word",
        DEFINITION.format(
            unit="words",
            split="words are split at every single space, "
            "so two spaces in a row enclose an empty word that counts",
        ),
    ),
    "cer": ("char", DEFINITION.format(unit="characters", split="spaces are characters too")),
}
SOURCE = "wer and cer of s3prl 0.4.18 (s3prl/metric/common.py) and of the SUPERB leaderboard"


def main(argv: Sequence[str] | None = None) -> int:
    """Print one JSON object with rate and counts; 2 and one sentence for input that cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        found = _score(arguments.metric, arguments.ref, arguments.hyp)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found, indent=2))
    return 0


def _score(metric: str, ref: Path, hyp: Path) -> dict[str, object]:
    unit, definition = METRICS[metric]
    references, hypotheses = wer.read_transcripts(ref), wer.read_transcripts(hyp)
    counts = wer.score(references, hypotheses, unit)
    if counts.length == 0:
        raise wer.ScoringError(f"{ref} holds only empty transcripts, so {metric} is undefined")
    odd = {path: wer.empty_words(texts.values()) for path, texts in ((ref, references), (hyp, hypotheses))}
    for path, number in odd.items():
        if number and unit == "word":
            print(
                f"note: {number} transcripts of {path} have a leading or doubled space; "
                "each makes an empty word, which counts as a word",
                file=sys.stderr,
            )
    return {
        "metric": metric,
        "rate": counts.rate,
        "percent": 100 * counts.errors / counts.length,
        "counts": counts.as_dict(),
        "definition": definition,
        "source": SOURCE,
        "ref": str(ref),
        "hyp": str(hyp),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m downstream_runs score", description="Score transcripts that already exist."
    )
    commands = parser.add_subparsers(dest="metric", required=True, metavar="METRIC")
    for metric, (unit, definition) in METRICS.items():
        command = commands.add_parser(
            metric,
            help=f"{unit} error rate",
            description=f"{metric.upper()}: {definition}. Source: {SOURCE}. Text is compared as it stands. "
            "The two files must hold the same utterances: s3prl's .ark (NAME WORDS ...) or .tsv "
            "(NAME<TAB>WORDS), also .gz.",
        )
        command.add_argument("--ref", type=Path, required=True, metavar="FILE", help="reference transcripts")
        command.add_argument("--hyp", type=Path, required=True, metavar="FILE", help="hypotheses")
    return parser
