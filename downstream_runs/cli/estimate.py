"""Predict the hours and the disk of full runs on this machine from about a minute of measurement, with and
without stored features; or forecast them for an accelerator that is not here, from counts. Heads are built on
the demo corpora; nothing is kept on the disk.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs import bridge, tasks
from downstream_runs.cli.options import add_upstream
from downstream_runs.cli.plans import plan_of_upstream, task_names
from upstream_arm.common.errors import DONE
from upstream_arm.common.words import columns, span

if TYPE_CHECKING:
    from downstream_runs.core.task import TaskSpec
    from downstream_runs.estimate.measure import Measurement
    from downstream_runs.estimate.predict import Prediction

COLUMNS = ("task", "off h", "stored h", "extract", "train", "evaluate", "store GB", "of", "run GB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The upstream, the tasks, and how features are stored."""
    add = parser.add_argument
    add("upstream", metavar="UPSTREAM", help="as for a run: a name that `list` shows, ...")
    add("task", metavar="TASK", nargs="?", default="all", help="e.g. asr, or asr,ks (default: all)")
    add_upstream(parser)
    about = "superb (the default) or paper, which are for whole corpora"
    add("--recipe", default="superb", choices=("superb", "paper"), help=about)
    precisions = ("fp16", "bf16", "fp32")
    add("--features-precision", default="fp16", choices=precisions, help="of stored frames (default: fp16)")
    add(
        "--device-model",
        metavar="NAME",
        help="a forecast for an accelerator that is not here, from counts and its vendor's figures: h100, "
        "a100, ... (default: measure this machine)",
    )


def run(options: argparse.Namespace) -> int:
    """Measure, or count, predict, print."""
    chosen = [tasks.get(name) for name in task_names(options.task)]
    if options.device_model is not None:
        return _forecast(options, chosen)
    upstream, device, name = built_upstream(options, chosen[0])
    from tqdm import tqdm

    from downstream_runs.estimate import measure, predict

    with tempfile.TemporaryDirectory(prefix="estimate-") as place:
        measured = measure.measure(upstream, device, chosen, options.recipe, Path(place), tqdm)
    precision = options.features_precision
    rows = [predict.predict(task, options.recipe, measured, precision) for task in chosen]
    shape = measured.shape
    print(f"estimate for {name}, {shape.layers} layers x {shape.features}, recipe {options.recipe}, ", end="")
    print("hours on this machine")
    print("\n".join(columns(list(_cells(rows)), right=())))
    print("\n".join(_notes(rows, measured, precision)))
    return DONE


def _forecast(options: argparse.Namespace, chosen: Sequence[TaskSpec]) -> int:
    """Count on the CPU, and print the hours on a device that is not here."""
    from downstream_runs.estimate import accelerators

    device = accelerators.named(options.device_model)  # before anything is built
    options.device = "cpu"
    upstream, _, name = built_upstream(options, chosen[0])
    from tqdm import tqdm

    from downstream_runs.estimate import counted, forecast, forecast_text

    with tempfile.TemporaryDirectory(prefix="estimate-") as place:
        found = counted.count(upstream, chosen, options.recipe, Path(place), tqdm)
    device = dataclasses.replace(device, operation=found.operation)
    recipe, precision, shape = options.recipe, options.features_precision, found.shape
    rows = [forecast.forecast(task, recipe, found, device, precision) for task in chosen]
    print(
        f"FORECAST for {name}, {shape.layers} layers x {shape.features}, recipe {recipe}, on {device.title}"
    )
    print("\n".join(forecast_text.lines(rows, recipe, precision, shape, device)))
    return DONE


def built_upstream(options: argparse.Namespace, task: TaskSpec) -> tuple[Any, Any, str]:
    """The upstream on its device, the device, and the upstream's name with its label."""
    from downstream_runs.engine import components

    # As for a demo: an estimate needs the architecture, not the weights.
    plan = plan_of_upstream(options, task, options.recipe, demo=True)
    bridge.apply()
    upstream, device = components.build_upstream(plan)
    return upstream, device, plan.upstream + (" [untrained]" if getattr(upstream, "untrained", False) else "")


def _cells(rows: Sequence[Prediction]) -> Iterator[tuple[str, ...]]:
    from downstream_runs.estimate import predict

    yield COLUMNS
    for row in rows:
        hours = map(_hours, (row.off, row.stored, row.extraction, row.training, row.evaluation))
        yield (row.task.name, *hours, _gigabytes(row.store_bytes), row.kind, f"{row.task.cost.run_gb:.1f}")
    if len(rows) > 1:
        off, stored, size = predict.totals(rows)
        yield ("total", _hours(off), _hours(stored), "", "", "", _gigabytes(size), "", "")


def _notes(rows: Sequence[Prediction], measured: Measurement, precision: str) -> Iterator[str]:
    """What the columns are, and how the numbers came about."""
    from downstream_runs.estimate import predict

    frames = predict.frame_bytes(measured.shape, precision) / 1e9
    pooled = predict.pooled_bytes(measured.shape) / 1e3
    stored = f"frames {frames:.2f} GB an hour of audio in {precision} (QbE fp32)"
    yield f"{stored}, pooled {pooled:.0f} kB an utterance"
    how = "off: the upstream in every pass, as stock s3prl"
    yield f"{how}; stored: its features once (extract), then the head"
    if len({row.task.corpus.name for row in rows}) < len(rows):
        yield "total: what tasks share is extracted and stored once"
    cropped = [row.task for row in rows if row.task.crop_seconds is not None]
    for task in cropped:
        yield (
            f"{task.name}: training utterances of more than {task.crop_seconds:g} s are cropped at random "
            "and encoded each time, here all of them; shorter ones are stored, hence the range"
        )
    yield (
        f"estimate from {measured.seconds:.0f} s of measurement on {measured.device}, "
        f"{measured.busy.threads} threads: random features, demo labels, corpus sizes from the corpora's "
        "papers; not a run, nothing was written"
    )
    yield f"the machine during it: {measured.busy.words()}"
    doubt = measured.busy.doubt()
    if doubt is not None:
        yield f"DOUBTFUL: {doubt}; measure again when the machine has nothing else to do"


def _gigabytes(size: tuple[float, float]) -> str:
    return span(*(f"{end / 1e9:.1f}" for end in size))


def _hours(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:,.0f}"
