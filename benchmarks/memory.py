"""Trains each task for thousands of steps, and shows that a process's memory does not grow with them.

`python benchmarks/memory.py --place DIR --steps 20000 ks,ic,er,sid` trains on synthetic corpora with the
official recipes, but for the number of steps, the sizes of SMALL, without which a step takes a processor core
seconds to minutes, and with stored features; of a task with folds, its folds one after another in one
process, each its share of the steps. Resident memory of the process is read after each hundredth optimizer
step, from /proc (Linux). It prints a row for each task: memory at some of the steps, growth over the second
half, and the sizes of journals and logs with what they come to in the official recipe's number of steps; the
numbers go to DIR/memory.csv, the curves to DIR/memory.svg. Exit code 1 if a second half grew by more than
16 MB.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from downstream_runs import tasks
from downstream_runs.core.run_folder import PLAN
from downstream_runs.core.settings import leaves
from upstream_arm.common.files import atomic_write_csv

UPSTREAM = "fbank_no_cmvn"  # of each utterance alone, so that its features are stored
EVERY = 100
SHOWN = (1_000, 5_000, 10_000, 20_000)
ALLOWED_MB = 16.0
SMALL: Mapping[str, tuple[str, ...]] = {
    "er": ("runner.gradient_accumulate_steps=1",),
    "sid": ("runner.gradient_accumulate_steps=1", "downstream_expert.datarc.train_batch_size=2"),
    "asv": (
        "runner.gradient_accumulate_steps=1",
        "downstream_expert.datarc.train_batch_size=2",
        "downstream_expert.datarc.max_timestep=16000",
        "downstream_expert.modelrc.input_dim=32",
        "downstream_expert.modelrc.module_config.XVector.agg_dim=64",
    ),
    "sd": (
        "runner.gradient_accumulate_steps=1",
        "downstream_expert.loaderrc.train_batchsize=1",
        "downstream_expert.modelrc.hidden_size=32",
    ),
    "pr": ("runner.gradient_accumulate_steps=1", "downstream_expert.corpus.batch_size=2"),
    "sf": (
        "downstream_expert.corpus.batch_size=2",
        "downstream_expert.model.project_dim=32",
        "downstream_expert.model.RNNs.dim=[32, 32]",
    ),
    "asr": (
        "downstream_expert.datarc.batch_size=2",
        "downstream_expert.modelrc.project_dim=32",
        "downstream_expert.modelrc.RNNs.dim=[32, 32]",
    ),
}
"""Settings of each task that make its steps short: what is kept from step to step is the same."""

LOGS = ("metrics.jsonl", "events.jsonl", "s3prl.log", "log.log")


def child(samples: Path, words: Sequence[str]) -> int:
    """Do the command in this process, and write its memory after steps, a line `STEP MB` each."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from downstream_runs.cli import main as cli

    count, page = 0, resource.getpagesize()
    with samples.open("w", encoding="utf-8", buffering=1) as file:

        def stepped(*_: Any) -> None:
            nonlocal count
            count += 1
            if count % EVERY == 0:
                pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
                file.write(f"{count} {pages * page / 1e6:.2f}\n")

        register_optimizer_step_post_hook(stepped)
        return cli.main(list(words))


def train(task: str, steps: int, place: Path) -> Mapping[int, float]:
    """MB by step, of one training of so many steps."""
    samples, out = place / f"{task}.txt", place / "runs"
    words = [
        UPSTREAM,
        task,
        "--demo",
        "--recipe",
        "superb",
        "--out",
        str(out),
        "--rerun",
        "always",
        "--features",
        "memory",
    ]
    # Within this process, whose epochs are short here: a loading process an epoch would take the longest.
    settings = leaves(tasks.get(task).recipes["superb"].config)
    words += [word for key, _ in settings if key.endswith(".num_workers") for word in ("-o", f"{key}=0")]
    words += [word for one in SMALL.get(task, ()) for word in ("-o", one)]
    words += ["-o", f"runner.total_steps={steps // (len(tasks.get(task).folds) or 1)}", "--device", "cpu"]
    with (place / f"{task}.log").open("w", encoding="utf-8") as log:
        subprocess.run(
            [sys.executable, __file__, "--child", str(samples), *words],
            check=True,
            stdout=log,
            stderr=log,
            env={"OMP_NUM_THREADS": "1", **os.environ},
        )
    lines = (line.split() for line in samples.read_text(encoding="ascii").splitlines())
    return {int(step): float(size) for step, size in lines}


def sizes(task: str, steps: int, place: Path) -> str:
    """What the journals and logs of the run have grown to, and what they would in the whole recipe."""
    plan = next((place / "runs" / UPSTREAM / task).rglob(PLAN))
    full = tasks.get(task).recipes["superb"].config["runner"]["total_steps"]
    steps //= len(tasks.get(task).folds) or 1
    found = sum((plan.parent / name).stat().st_size for name in LOGS if (plan.parent / name).exists())
    return f"{found / 1e3:.0f} kB, {found * full / steps / 1e6:.1f} MB in {full:,} steps"


def draw(curves: Mapping[str, Mapping[int, float]], path: Path) -> None:
    """Memory against steps, a line a task."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for task, sizes_ in curves.items():
        axes.plot(list(sizes_), list(sizes_.values()), label=task)
    axes.set(xlabel="optimizer steps", ylabel="resident memory, MB", ylim=(0, None))
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def main(argv: Sequence[str] | None = None) -> int:
    """Train the tasks one after another, print the rows, draw; 1 if one grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--place", type=Path, required=True, metavar="DIR", help="where all of it goes")
    parser.add_argument("--steps", type=int, default=SHOWN[-1], metavar="N", help="default: 20,000")
    parser.add_argument("tasks", metavar="TASK[,TASK]")
    options = parser.parse_args(argv)
    place = options.place.absolute()
    place.mkdir(parents=True, exist_ok=True)
    shown = [step for step in SHOWN if step < options.steps] + [options.steps]
    print(f"| task | {' | '.join(f'{step:,}' for step in shown)} | second half | journals and logs |")
    print(f"| --- | {'---: | ' * (len(shown) + 1)}--- |")
    curves, grew = {}, 0
    for task in options.tasks.split(","):
        curves[task] = found = train(task, options.steps, place)
        growth = found[options.steps] - found[options.steps // 2 // EVERY * EVERY]
        grew += growth > ALLOWED_MB
        cells = [f"{found[step]:.0f} MB" for step in shown]
        cells += [f"{growth:+.1f} MB", sizes(task, options.steps, place)]
        print(f"| {task} | {' | '.join(cells)} |", flush=True)
        rows = [(task, step, size) for task, sizes_ in curves.items() for step, size in sizes_.items()]
        atomic_write_csv(place / "memory.csv", [("task", "step", "mb"), *rows])
        draw(curves, place / "memory.svg")
    return 1 if grew else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        raise SystemExit(child(Path(sys.argv[2]), sys.argv[3:]))
    raise SystemExit(main())
