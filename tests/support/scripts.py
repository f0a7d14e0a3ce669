"""Runs a script of this folder in a process of its own, with the checkout and this folder on its path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SUPPORT = Path(__file__).parent
CHECKOUT = SUPPORT.parents[1]


def run(name: str, *arguments: object, cwd: Path) -> None:
    """Run it on one thread; AssertionError with what it printed if it fails."""
    done = subprocess.run(
        [sys.executable, str(SUPPORT / name), *map(str, arguments)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(SUPPORT)]),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
