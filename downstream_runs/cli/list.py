"""Show upstreams, tasks and recipes."""

from __future__ import annotations

import argparse

from upstream_arm.common.errors import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(options: argparse.Namespace) -> int:
    """Print the names; nothing is loaded."""
    from downstream_runs.upstreams import listing

    print(listing.text(), end="")
    return DONE
