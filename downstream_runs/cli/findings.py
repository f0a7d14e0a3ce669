"""What `doctor` and `check` have looked at, and how they print it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is, whether it is good, and the next command where it is not.

    then: the command that whoever has seen all findings should run next, if this one decides it.
    """

    what: str
    good: bool = True
    remedy: str = ""
    then: str = ""


def show(findings: Iterable[Finding]) -> bool:
    """Print a line for each finding as soon as it is known; returns whether all are good."""
    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    all_good = True
    for finding in findings:
        word, colour = ("ok ", 32) if finding.good else ("red", 31)
        print(f"\033[{colour}m{word}\033[0m" if colours else word, f" {finding.what}", flush=True)
        if finding.remedy and not finding.good:
            print(f"     -> {finding.remedy}", flush=True)
        all_good = all_good and finding.good
    return all_good
