"""Measure what an upstream is: its shape, its costs, and on what its features depend; nothing is trained."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from downstream_runs.cli.options import add_upstream
from downstream_runs.cli.plans import states_of, switches_of
from upstream_arm.common.errors import DONE
from upstream_arm.common.words import columns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The upstream, and how its card is printed."""
    parser.add_argument("upstream", metavar="UPSTREAM", help="a name that `list` shows, or another source")
    add_upstream(parser)
    parser.add_argument("--json", action="store_true", help="print the card as JSON, numbers as measured")


def run(options: argparse.Namespace) -> int:
    """Measure and print; UsageError for an upstream that does not fit s3prl's interface."""
    from downstream_runs import bridge, tasks
    from downstream_runs.core.run import RunPlan
    from downstream_runs.engine import components
    from downstream_runs.upstreams import card, card_words, licence, weights

    chosen = weights.choose(options.upstream, options.ckpt, False, options.trust_remote_code)
    states, layer = states_of(options, chosen.name)
    plan = RunPlan(
        task=tasks.get("asr"),
        recipe="superb",
        upstream=chosen.name,
        data=Path(),
        out=Path(),
        ckpt=chosen.ckpt,
        model_config=options.model_config,
        switches=switches_of(options, chosen.name),
        device=options.device,
        states=states,
        layer=layer,
        source=chosen.source,
        revision=chosen.revision,
        trust_remote_code=chosen.trust_remote_code,
    )
    bridge.apply()
    upstream, _ = components.build_upstream(plan)
    measured = card.measure(upstream, chosen.name, thorough=True)
    measured = dataclasses.replace(
        measured, source=plan.source, revision=plan.revision, licence=licence.of(plan)
    )
    if options.json:
        print(json.dumps(dataclasses.asdict(measured), indent=2))
        return DONE
    print(chosen.name + (" [untrained]" if getattr(upstream, "untrained", False) else ""))
    print("\n".join(columns(list(card_words.sentences(measured)), right=())))
    return DONE
