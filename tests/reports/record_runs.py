"""Renew `tests/data/demo_runs`, what the engine leaves of the ten demo tasks: run it as a script.

Two upstreams, the demo recipes (FBANK's SF longer, so that some slots are right); a quarter of an hour on 2
cores. Of each run the small files that reports and status read are kept. The folder of the runs has a fixed
name, since results say where they were made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
RECORDED = CHECKOUT / "tests" / "data" / "demo_runs"
OUT = Path("/tmp/superb-demo-runs")
UPSTREAMS = ("fbank_no_cmvn", "armhubert_random")
TASKS = ("pr", "asr", "ks", "qbe", "sid", "asv", "sd", "ic", "sf", "er")
OPTIONS = {("fbank_no_cmvn", "sf"): ("-o", "runner.total_steps=400")}
KEPT = ("result.json", "plan.json", "items.csv", "trials.csv", "metrics.jsonl", "events.jsonl")


def main() -> int:
    """Run what is missing below OUT, and keep its small files."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    for upstream in UPSTREAMS:
        for task in TASKS:
            words = [upstream, task, "--demo", "--out", str(OUT), *OPTIONS.get((upstream, task), ())]
            subprocess.run(
                [sys.executable, "-m", "downstream_runs", *words], check=True, env=environment, cwd="/tmp"
            )
    shutil.rmtree(RECORDED, ignore_errors=True)
    for upstream in UPSTREAMS:
        for path in sorted((OUT / upstream).rglob("*")):
            if path.name in KEPT:
                place = RECORDED / path.relative_to(OUT)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
