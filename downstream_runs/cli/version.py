"""Show the versions of this project, of what its numbers depend on, and of Python."""

from __future__ import annotations

import argparse
import platform

from downstream_runs.bridge.command import version_of
from upstream_arm.common.errors import DONE

PACKAGES = ("superb-arm", "s3prl", "torch", "torchaudio")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(options: argparse.Namespace) -> int:
    """Print the versions in one line; nothing is imported for it."""
    print(", ".join([*map(version_of, PACKAGES), f"Python {platform.python_version()}"]))
    return DONE
