"""Download an upstream's weights into the Hugging Face cache, unless they are there already, and print where.

A model of the hub is asked for anew: a branch is from then on what it is now, for runs in a new folder.
"""

from __future__ import annotations

import argparse

from downstream_runs.upstreams import sources
from upstream_arm import download
from upstream_arm.common.errors import DONE
from upstream_arm.encoders import hub


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is fetched."""
    add = parser.add_argument
    add("name", metavar="NAME", help="e.g. armhubert or armhubert_s_100h, or hf:ORG/NAME[@REVISION]")
    add("--trust-remote-code", action="store_true", help="also the code that a model brings with it")


def run(options: argparse.Namespace) -> int:
    """Fetch it and print the path of a checkpoint, or the folder of a model at its commit."""
    if not options.name.startswith("hf:"):
        return download.run(options)
    source = sources.parse(options.name)
    commit = hub.resolve(source.place, source.revision, renew=True)
    print(hub.model(source.place, commit, options.trust_remote_code).folder)
    return DONE
