"""Stored features against features computed in every pass, side by side: time, losses and scores.

`python benchmarks/features.py` trains each task's demo recipe twice on its synthetic corpus, with
`--features off` and with features in memory (fp32). It prints seconds, their ratio, the largest difference of
a training loss over all steps, and both scores. The corpora are synthetic and the student has random weights:
times and equality mean something, the scores nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from downstream_runs import tasks
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.engine import RunPlan, run_dir, session

DEFAULT_TASKS = "ks,sid,ic,er,pr,asr"


def losses(folder: Path, split: str) -> list[float]:
    """The training losses of a run, in the order of its steps; for SD, which logs none, its other numbers."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    logged = [pair for line in lines if line["split"] == split for pair in line["scalars"].items()]
    return [value for name, value in logged if name.endswith("loss")] or [value for _, value in logged]


def measure(name: str, upstream: str, steps: int, place: Path) -> str:
    """One row of the table."""
    task = tasks.get(name)
    data = place / "data"
    task.corpus.make_demo(data)
    log = {"runner.total_steps": steps, "runner.log_step": 1, "runner.eval_step": steps}
    found: dict[str, tuple[float, list[float], float]] = {}
    for settings in (FeatureOptions("off"), FeatureOptions("memory", "fp32")):
        plan = RunPlan(
            task=task,
            recipe="demo",
            upstream=upstream,
            data=data,
            out=place / settings.mode,
            overrides=log,
            fold=task.folds[0] if task.folds else None,
            features=settings,
        )
        started = time.monotonic()
        result = session.run(plan)
        seconds = time.monotonic() - started
        headline: Any = result.headline(task.metrics[0].name)
        found[settings.mode] = seconds, losses(run_dir(plan), str(task.train_split)), headline.value
    (off, off_losses, off_score), (stored, stored_losses, stored_score) = found["off"], found["memory"]
    apart = max(abs(one - other) for one, other in zip(off_losses, stored_losses, strict=True))
    return (
        f"{name:<5} {steps:>5} {off:>8.1f} {stored:>8.1f} {off / stored:>6.2f} {apart:>10.1e} "
        f"{off_score:>8.2f} {stored_score:>8.2f}"
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", default=DEFAULT_TASKS, help=f"default: {DEFAULT_TASKS}")
    parser.add_argument(
        "--upstream", default="armhubert_random", help="default: armhubert_random (untrained)"
    )
    parser.add_argument("--steps", type=int, default=60, help="of training, default 60")
    parser.add_argument("--threads", type=int, help="of torch (default: its own choice)")
    options = parser.parse_args()
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    print(
        f"{options.upstream}, demo corpora (synthetic speech), demo recipes; "
        "seconds include loading, training, evaluation and test"
    )
    print("task  steps    off s stored s  ratio  loss diff      off   stored")
    for name in options.tasks.split(","):
        with tempfile.TemporaryDirectory() as place:
            print(measure(name, options.upstream, options.steps, Path(place)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
