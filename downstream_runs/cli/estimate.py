"""Predict the hours and the disk of full runs on this machine from about a minute of measurement, with and
without stored features. Heads are built on the demo corpora; nothing is kept on the disk.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.cli.options import add_upstream
from downstream_runs.cli.plans import switches_of, task_names
from downstream_runs.core import costs
from upstream_arm.common.errors import DONE, UsageError

if TYPE_CHECKING:
    from downstream_runs.core.task import TaskSpec
    from downstream_runs.estimate.measure import Measurement
    from downstream_runs.estimate.predict import Prediction

RECIPES = ("superb", "paper")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The upstream, the tasks, and how features are stored."""
    add = parser.add_argument
    add("upstream", metavar="UPSTREAM", help="a name that `list` shows")
    add("task", metavar="TASK", nargs="?", default="all", help="e.g. asr, or asr,ks (default: all)")
    add_upstream(parser)
    add("--recipe", default="superb", help="superb (the default) or paper")
    add(
        "--features-precision",
        default="fp16",
        choices=("fp16", "bf16", "fp32"),
        help="of stored frames (default: fp16)",
    )


def run(options: argparse.Namespace) -> int:
    """Measure, predict, print."""
    from downstream_runs import tasks

    chosen = [tasks.get(name) for name in task_names(options.task)]
    if options.recipe not in RECIPES:
        raise UsageError(
            f"--recipe {options.recipe} has no full-size run to estimate, expected {' or '.join(RECIPES)}"
        )
    upstream, device, named = built_upstream(options)
    from tqdm import tqdm

    from downstream_runs.estimate import measure, predict

    with tempfile.TemporaryDirectory(prefix="estimate-") as place:
        found = measure.measure(upstream, device, chosen, options.recipe, Path(place), tqdm)
    precision = options.features_precision
    rows = [predict.predict(task, options.recipe, found, precision) for task in chosen]
    print(text(named, options.recipe, precision, chosen, rows, found), end="")
    return DONE


def built_upstream(options: argparse.Namespace) -> tuple[Any, Any, str]:
    """The upstream on its device, the device, and the upstream's name with its label."""
    from downstream_runs import bridge
    from downstream_runs.upstreams import weights

    for name in ("ckpt", "model_config"):
        path = getattr(options, name)
        if path is not None and "://" not in path and not Path(path).is_file():
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {path} is no file; give the path of an existing one")
    # As for a demo: an estimate needs the architecture, not the weights.
    chosen = weights.choose(options.upstream, options.ckpt, demo=True)
    switches = switches_of(options, chosen.name)
    bridge.apply()
    import s3prl.hub as hub

    from downstream_runs.engine.components import pick_device
    from downstream_runs.upstreams.checked import CheckedUpstream

    device = pick_device(options.device)
    try:
        built = getattr(hub, chosen.name)(
            ckpt=chosen.ckpt, model_config=options.model_config, refresh=False, **switches
        )
    except (OSError, RuntimeError, ImportError, TypeError, KeyError, AssertionError) as error:
        raise UsageError(
            f"upstream {chosen.name} could not be built: {type(error).__name__}: "
            + " ".join(str(error).split())
        ) from error
    label = " [untrained]" if getattr(built, "untrained", False) else ""
    upstream = CheckedUpstream(built, chosen.name)
    upstream.to(device)
    return upstream, device, chosen.name + label


def text(
    upstream: str,
    recipe: str,
    precision: str,
    tasks: Sequence[TaskSpec],
    rows: list[Prediction],
    found: Measurement,
) -> str:
    """The table and how it came about."""
    from downstream_runs.estimate import predict

    head = ("task", "off h", "stored h", "extract", "train", "evaluate", "store GB", "of", "run GB")
    cells = [head, *(_cells(row, task, recipe) for row, task in zip(rows, tasks, strict=True))]
    off, stored, size = predict.totals(rows)
    if len(rows) > 1:
        cells.append(("total", _hours(off), _hours(stored), "", "", "", f"{size / 1e9:.1f}", "", ""))
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    shape = found.shape
    kinds = (
        f"frames {predict.frame_bytes(shape, precision) / 1e9:.2f} GB an hour of audio in {precision} (QbE "
        f"fp32), pooled {predict.pooled_bytes(shape) / 1e3:.0f} kB an utterance"
    )
    lines = [
        f"estimate for {upstream}, {shape.layers} layers x {shape.features}, recipe {recipe}, "
        "hours on this machine",
        *(line.rstrip() for line in lines),
        kinds,
        "off: the upstream in every pass, as stock s3prl; stored: its features once (extract), then the head",
    ]
    if len({row.corpus for row in rows}) < len(rows):
        lines.append("total: what tasks share is extracted and stored once")
    crops = [task.name for task in tasks if task.random_share == 1.0]
    if crops:
        lines.append(f"{', '.join(crops)}: training crops are random, they are encoded each time")
    lines.append(
        f"estimate from {found.seconds:.0f} s of measurement on {found.device}, {found.threads} threads: "
        "random features, demo labels, corpus sizes from the corpora's papers; not a run, nothing was written"
    )
    return "\n".join(lines) + "\n"


def _cells(row: Prediction, task: TaskSpec, recipe: str) -> tuple[str, ...]:
    parts = (row.off, row.stored, row.extraction, row.training, row.evaluation)
    disk = costs.run_gb(task, task.recipes[recipe])
    return (row.task, *map(_hours, parts), f"{row.store_bytes / 1e9:.1f}", row.kind, f"{disk:.1f}")


def _hours(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:,.0f}"
