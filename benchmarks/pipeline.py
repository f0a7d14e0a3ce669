"""Stock s3prl against this project's runs: the same machine, data, recipe and invocation, task by task.

    python benchmarks/pipeline.py                        # KS IC ER PR ASR SF QbE and the scaling table
    python benchmarks/pipeline.py --quick --tasks ks,ic  # one round of each
    python benchmarks/pipeline.py --tasks pr --data /corpora --upstream armhubert

Sides: `stock` is s3prl's own runner (the `s3prl` command), `off` ours with --features off, `stored` ours with
--features disk once all is stored, `floor` (ASR, SF) the head alone on summed features in memory: no
upstream, weighted sum, SpecAugment or reading. All train the superb recipe (IC in batches of 35, since its
demo has 70 utterances) from the same seed, so the batches are the same, each in a process of its own. They
take turns of a few steps, in an order that is turned round from round to round. Timed are optimizer steps
only, in the child, from one optimizer step's end to the next: not imports, extraction, evaluation,
checkpoints. The store is filled beforehand, which is the extraction's time. No side has loading processes.

Printed are medians over the rounds, ratios as medians of the rounds' ratios. Hours are of the full corpus and
recipe, training alone: a step's time in proportion to the mean length of the real corpus's utterances (of
pooled tasks only the upstream's part), plus, for `stored`, extraction of all splits at the measured rate.
`again` is the share of trained utterances (random crops) that `stored` still encodes. Peak memory is
ru_maxrss, or the GPU's where there is one. Demo corpora are synthetic speech; *_random upstreams are
untrained: times mean something, no score is read.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import _cases
import _scaling
import _search
from _cases import Measured, Setting

from downstream_runs import tasks
from downstream_runs.core.task import TaskSpec
from upstream_arm.common.errors import RunFailed, UsageError
from upstream_arm.common.processes import cores

DEFAULT_TASKS = "ks,ic,er,pr,asr,sf,qbe"
SPEED_UPS = {"ks": 50.0, "ic": 50.0, "er": 50.0, "pr": 10.0, "qbe": 20.0}
FLOORS = {"asr": 1.15, "sf": 1.15}
HEADER = (
    "task  batch  s audio | s/step:  stock      off   stored    floor | stock/off stock/stored stored/floor"
    " | upstream | hours: stock   stored | peak MB: stock/off/stored |  store MB | again | target"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, each row as soon as it is there; 1 if a side failed, 2 for wrong use."""
    options = _parser().parse_args(argv)
    if options.quick:
        options.repeats = 1
    try:
        chosen = [tasks.get(name) for name in options.tasks.split(",") if name]
        with tempfile.TemporaryDirectory(prefix="pipeline-") as place:
            return _tables(options, chosen, Path(place))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--tasks", default=DEFAULT_TASKS, help=f"default: {DEFAULT_TASKS}; may be empty")
    parser.add_argument(
        "--upstream", default="armhubert_random", help="default: armhubert_random (untrained)"
    )
    parser.add_argument("--data", type=Path, help="folder of real corpora (default: the demo corpora)")
    parser.add_argument("--device", default="cpu", help="cpu (the default) or cuda")
    parser.add_argument(
        "--steps", type=int, default=1, help="of a round, default 1; pooled tasks do 25 times it"
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds, default 3")
    parser.add_argument("--threads", type=int, default=cores(), help="of each process")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--no-scaling", action="store_true", help="leave the scaling table out")
    return parser


def _tables(options: argparse.Namespace, chosen: Sequence[TaskSpec], place: Path) -> int:
    data = place / "data" if options.data is None else options.data.expanduser().resolve()
    setting = Setting(
        options.upstream,
        data,
        place,
        options.device,
        options.threads,
        options.steps,
        options.repeats,
        options.data is None,
    )
    labels = ["demo (synthetic speech)"] if options.data is None else []
    labels += ["untrained (random weights)"] if options.upstream.endswith("_random") else []
    print(
        f"{options.upstream} [{', '.join(labels) or 'no labels'}], superb recipe, {options.device}, "
        f"{options.threads} threads a process, {options.repeats} rounds, "
        + f"load {os.getloadavg()[0]:.1f} at the start, torch {version('torch')}, s3prl {version('s3prl')}"
    )
    print(HEADER if any(task.train_split for task in chosen) else "", flush=True)
    code = 0
    for task in chosen:
        try:
            if options.data is None:
                task.corpus.make_demo(data)
            print(_row(setting, task), flush=True)
        except RunFailed as error:
            print(f"{task.name:<5} not measured: {error}", flush=True)
            code = 1
    if not options.no_scaling:
        _print_scaling(setting)
    return code


def _row(setting: Setting, task: TaskSpec) -> str:
    if task.train_split is None:
        return search_row(setting, task)
    return row(task, _cases.measure(setting, task, task.name in FLOORS))


def row(task: TaskSpec, found: Measured) -> str:
    """One trained task's line."""
    floor = found.median("floor") if "floor" in found.seconds else None
    off, stored = found.ratio("stock", "off"), found.ratio("stock", "stored")
    over = found.ratio("stored", "floor") if floor else None
    peaks = "/".join(f"{found.peaks[side] / 1e6:.0f}" for side in ("stock", "off", "stored"))
    hours = full_hours(task, found)
    times = " ".join(f"{found.median(side):8.4f}" for side in ("stock", "off", "stored"))
    return (
        f"{task.name:<5} {found.batch:>5} {found.audio:>8.2f} |        {times} {_or_dash(floor, 8, 4)} | "
        f"{off:>9.2f} {stored:>12.1f} {_or_dash(over, 12, 2)} | {100 * found.upstream_share:>6.0f} % | "
        f"{hours[0]:>12.1f} {hours[1]:>8.2f} | {peaks:>25} | {found.store_bytes / 1e6:>9.1f} | "
        f"{100 * found.again:>3.0f} % | {verdict(task.name, stored, over)}"
    )


def _or_dash(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"


def verdict(task: str, speed_up: float, over_floor: float | None) -> str:
    """The aim for the task and whether it is met."""
    if task in SPEED_UPS:
        return f">= {SPEED_UPS[task]:g}x: {'met' if speed_up >= SPEED_UPS[task] else 'NOT met'}"
    if over_floor is not None:
        return f"<= {FLOORS[task]:g} of floor: {'met' if over_floor <= FLOORS[task] else 'NOT met'}"
    return "none"


def full_hours(task: TaskSpec, found: Measured) -> tuple[float, float]:
    """Hours of the full recipe in stock s3prl and with stored features, all folds; see the module's text."""
    config = task.recipes["superb"].config
    steps = config["runner"]["total_steps"] * max(len(task.folds), 1)
    # A step of the recipe's own batch, where another was trained.
    longer = task.trained_seconds / found.audio * _cases.step_utterances(task, config) / found.batch
    head = 1.0 if task.pooled else longer
    share = found.upstream_share
    stock = found.median("stock") * (share * longer + (1 - share) * head)
    seconds, audio = found.filled
    extraction = seconds / audio * task.corpus.hours * 3600
    return steps * stock / 3600, (steps * found.median("stored") * head + extraction) / 3600


def search_row(setting: Setting, task: TaskSpec) -> str:
    """QbE's lines: the sweep over the layers, and what it becomes at full size."""
    found = _search.measure(setting, task)
    one, sweep = statistics.median(found.stock), statistics.median(found.ours)
    peaks = "/".join(f"{found.peaks[side] / 1e6:.0f}" for side in ("stock", "ours"))
    return (
        f"{task.name:<5} layer sweep: stock {found.runs} x {one:.1f} s = {found.runs * one:.0f} s "
        f"(measured: layer {_search.LAYER} on dev; the whole is {found.layers} layers x 2 splits), "
        f"ours {sweep:.1f} s | stock/ours {found.ratio:.1f} | "
        f"upstream {100 * found.upstream_share:.0f} % of stock | "
        f"peak MB: stock/ours {peaks} | {verdict(task.name, found.ratio, None)}\n"
        f"      (stock's warping: {_warping()}; {found.audio:.0f} s of audio, where the real corpus has "
        f"{task.corpus.hours:.1f} h)"
    )


def _warping() -> str:
    """What stock s3prl calls for dynamic time warping here."""
    try:
        return f"dtw-python {version('dtw-python')}"
    except PackageNotFoundError:
        return "the bridge's, in numpy, since dtw-python is not installed"


def _print_scaling(setting: Setting) -> None:
    """Extraction should grow with the audio, a pooled step with nothing."""
    print("\nIC, demo corpus made longer or larger: extraction and a training step on the stored vectors")
    print(
        f"{'corpus':<12} {'s audio':>8} {'extraction s':>13} {'per s audio':>12} {'ms/step':>8}", flush=True
    )
    first = None
    for point in _scaling.points():
        try:
            found = _scaling.measure(setting, *point)
        except RunFailed as error:
            print(f"{point[0]:<12} not measured: {error}", flush=True)
            continue
        first = first or found
        rate = found.extraction / found.audio
        print(
            f"{found.name:<12} {found.audio:>8.1f} {found.extraction:>13.2f} {rate:>12.4f} "
            f"{1000 * found.step:>8.2f}   x {found.extraction / first.extraction:.2f} extraction for "
            f"x {found.audio / first.audio:.2f} audio, x {found.step / first.step:.2f} step",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
