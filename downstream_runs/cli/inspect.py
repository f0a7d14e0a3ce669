"""Measure what an upstream is: its shape, its costs, and on what its features depend; nothing is trained."""

from __future__ import annotations

import argparse
import dataclasses
import json

from downstream_runs import bridge, tasks
from downstream_runs.cli.options import add_upstream
from downstream_runs.cli.plans import plan_of_upstream
from downstream_runs.upstreams import licence
from upstream_arm.common.errors import DONE
from upstream_arm.common.words import columns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The upstream, and how its card is printed."""
    parser.add_argument("upstream", metavar="UPSTREAM", help="a name that `list` shows, or another source")
    add_upstream(parser)
    parser.add_argument("--json", action="store_true", help="print the card as JSON, numbers as measured")


def run(options: argparse.Namespace) -> int:
    """Measure and print; UsageError for an upstream that does not fit s3prl's interface."""
    from downstream_runs.engine import components
    from downstream_runs.upstreams import card, card_words

    plan = plan_of_upstream(options, tasks.get("asr"), "superb", demo=False)
    bridge.apply()
    upstream, _ = components.build_upstream(plan)
    measured = card.measure(upstream, plan.upstream, thorough=True)
    measured = dataclasses.replace(
        measured, source=plan.source, revision=plan.revision, licence=licence.of(plan)
    )
    if options.json:
        quantized = {"quantize": dataclasses.asdict(upstream.quantized)} if upstream.quantized else {}
        print(json.dumps(dataclasses.asdict(measured) | quantized, indent=2))
        return DONE
    print(plan.upstream + (" [untrained]" if getattr(upstream, "untrained", False) else ""))
    quantized_row = [("quantized", upstream.quantized.in_words())] if upstream.quantized else []
    print("\n".join(columns([*card_words.sentences(measured), *quantized_row], right=())))
    return DONE
