"""What a student's forward pass, and a training step of each task, start, copy and wait for on a GPU.

    python benchmarks/kernels.py                         # the student, then all tasks: some minutes
    python benchmarks/kernels.py --preset maskhubert --tasks ks,asr

    python benchmarks/kernels.py --cuda                  # on a real device, as torch's profiler counts

The device is the pretend one of `tests/support/rehearsal.py`: fused attention and LSTMs count as one kernel,
views as none. Counts do not depend on weights, which are random. A training step is one of the demo recipe on
three linear layers for an upstream: by stock s3prl as its runner does it, and by ours, where the tasks of one
vector an utterance have these stored. Both have s3prl's own heads, which copy and wait for their records.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from downstream_runs import tasks
from upstream_arm.expert import UpstreamExpert
from upstream_arm.presets import PRESETS
from upstream_arm.student import Student

BATCHES = {"one utterance": [16_000], "two alike": [16_000, 16_000], "padded, two": [16_000, 12_000]}
"""Samples of each utterance of a batch."""

STEPS = 2
"""The last of them is counted: the first makes the optimizer's state."""

Row = tuple[int, int, int, int]


def student_rows(preset: str) -> list[tuple[str, Row]]:
    """Name and counts of each forward pass: of the student, and of its upstream with its checks."""
    rehearsal = importlib.import_module("rehearsal")
    found = []
    with rehearsal.counting(), torch.no_grad():
        student = Student(PRESETS[preset]).eval().to(rehearsal.DEVICE)
        expert = UpstreamExpert(student)
        for name, lengths in BATCHES.items():
            wavs: list[Any] = [torch.randn(length).to(rehearsal.DEVICE) for length in lengths]
            padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
            with rehearsal.counting() as counts:
                student(padded, lengths)
            found.append((f"student, {name}", counts.row()))
            with rehearsal.counting() as counts:
                expert(wavs)
            found.append((f"upstream, {name}", counts.row()))
    return found


def stock_step(name: str, folder: Path) -> tuple[int, Row]:
    """Utterances and counts of a step as s3prl 0.4.18's downstream/runner.py does it."""
    from s3prl.optimizers import get_optimizer

    from downstream_runs.estimate import heads
    from downstream_runs.upstreams.checked import CheckedUpstream

    rehearsal = importlib.import_module("rehearsal")
    task = tasks.get(name)
    with rehearsal.counting():
        upstream = CheckedUpstream(importlib.import_module("toy").Toy().eval().to(rehearsal.DEVICE), "toy")
        head = heads.build(task, "demo", upstream, rehearsal.DEVICE, folder)
        parts, runner = head.parts, head.config["runner"]
        modules = [parts.featurizer, parts.downstream]
        parameters = [one for module in modules for one in module.parameters()]
        optimizer = get_optimizer(modules, runner["total_steps"], head.config["optimizer"])
        batches = head.batches(STEPS)
        for _ in range(STEPS):
            given, others = next(batches)
            with rehearsal.counting() as counts:
                wavs = [torch.FloatTensor(wav).to(rehearsal.DEVICE) for wav in given]
                with torch.no_grad():
                    hidden = upstream.module(wavs)
                features = parts.featurizer(wavs, hidden)
                if head.specaug is not None:
                    features, _ = head.specaug(features)
                loss = parts.downstream(task.train_split, features, *others, records=defaultdict(list))
                (loss / runner["gradient_accumulate_steps"]).backward()
                norm = torch.nn.utils.clip_grad_norm_(parameters, runner["gradient_clipping"])
                if not math.isnan(norm):
                    optimizer.step()
                optimizer.zero_grad()
    return len(given), counts.row()


def our_step(name: str, folder: Path) -> Row:
    """Counts of a step of a run."""
    rehearsed_runs, short_runs = map(importlib.import_module, ("rehearsed_runs", "short_runs"))
    mode = "memory" if tasks.get(name).pooled else "off"
    with rehearsed_runs.on_device() as costs:
        short_runs.outcome(short_runs.plan(name, folder / "data", folder / "out", mode, STEPS))
    row: Row = costs.steps[-1].row()
    return row


def step_rows(names: list[str]) -> list[tuple[str, int, Row, Row]]:
    """Task, utterances of a batch, and the counts of a step of it by stock s3prl and by ours."""
    from downstream_runs.bridge import corrections, heads

    install = heads.install
    vars(heads)["install"] = lambda after_import: None  # heads as s3prl has them
    importlib.import_module("toy").register()
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
        stock = {name: stock_step(name, Path(scratch) / name) for name in names}
        install(corrections.after_import)
        return [(name, *stock[name], our_step(name, Path(scratch) / name)) for name in names]


def main() -> None:
    """Print the tables."""
    trained = [name for name in tasks.names() if tasks.get(name).train_split]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="armhubert")
    parser.add_argument("--tasks", default=",".join(trained), help="whose steps are counted")
    parser.add_argument("--cuda", action="store_true", help="count on a CUDA device instead, by its profiler")
    options = parser.parse_args()
    if options.cuda:  # in the place of the pretend device, which must not be imported beside it
        sys.modules["rehearsal"] = importlib.import_module("_on_device")
    columns = "kernels | copies in | copies out | waits"
    print(f"| {options.preset} | {columns} |\n| --- | --: | --: | --: | --: |")
    for name, counts in student_rows(options.preset):
        print(f"| {name} | {' | '.join(map(str, counts))} |")
    print(f"\n| step, utterances | stock: {columns} | ours: {columns} |\n| --- |{' --: |' * 8}")
    for task, batch, stock, ours in step_rows([name for name in options.tasks.split(",") if name]):
        print(f"| {task}, {batch} | {' | '.join(map(str, (*stock, *ours)))} |")


if __name__ == "__main__":
    main()
