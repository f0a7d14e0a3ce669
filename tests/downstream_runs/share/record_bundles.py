"""Renew `tests/data/bundles`, bundles of all ten demo tasks as `publish` makes them: run it as a script.

FBANK on all tasks, and a student with random weights on one, which is labelled untrained; ten minutes on 2
cores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
RECORDED = CHECKOUT / "tests" / "data" / "bundles"
OUT = Path("/tmp/superb-demo-bundles")


def main() -> int:
    """Run what is missing below OUT, and share it."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    shutil.rmtree(RECORDED, ignore_errors=True)
    for words in (
        ["fbank", "all", "--demo", "--efficiency", "--out", str(OUT)],
        ["armhubert_random", "ks", "--demo", "--efficiency", "--out", str(OUT)],
        ["publish", str(OUT), "--to", str(RECORDED), "--by", "recorder"],
    ):
        subprocess.run(
            [sys.executable, "-m", "downstream_runs", *words], check=True, env=environment, cwd="/tmp"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
