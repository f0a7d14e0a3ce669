"""Starts runs in every way that the command has, and compares each with the run that is started alone.

`python benchmarks/starting.py --place DIR` trains some steps of IC, and of ER with its folds, on synthetic
corpora: once alone, without loading processes; then alone with two of them; as one of two seeds, of two seeds
at a time (`--jobs 2`), of two learning rates, of ER's folds two at a time, and on two devices (processes of
the CPU). Each way is tried on FBANK and on a tiny student, with features computed in every pass, stored by
`auto` and on disk, without and with two loading processes. It prints a row for each: whether numbers,
predictions and kept weights are those of the run alone without loading processes, bit for bit; for two
devices, of the run on two devices without them. Exit code 1 if any is not.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from downstream_runs.core import results
from downstream_runs.core.results import Result

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests" / "support"))
from small_student import SMALL  # type: ignore[import-not-found]  # noqa: E402

# One thread: another number of threads rounds sums otherwise.
os.environ.setdefault("OMP_NUM_THREADS", "1")

STEPS = ("total_steps=4", "eval_step=2", "save_step=2", "log_step=2")
STORES = ("off", "auto", "disk")
WORKERS = "downstream_expert.datarc.num_workers"
CORES = 6
"""What the machine is taken to have: a run has no more loading processes than cores beside its own."""


@dataclass(frozen=True)
class Way:
    """How runs are started: the task, what the command has more, and whether in processes of their own."""

    name: str
    task: str
    more: tuple[str, ...] = ()
    apart: bool = True


ALONE = (
    Way("one run", "ic", ("--seed", "1"), apart=False),
    Way("one run", "ic", ("--seed", "2"), apart=False),
    Way("one run", "ic", ("--lr", "1e-2"), apart=False),
    Way("one run", "ic", ("--lr", "1e-3"), apart=False),
    Way("one run, all folds", "er", (), apart=False),
)
WAYS = (
    Way("two seeds", "ic", ("--seed", "1,2")),
    Way("two seeds, --jobs 2", "ic", ("--seed", "1,2", "--jobs", "2")),
    Way("two rates", "ic", ("--lr", "1e-2,1e-3")),
    Way("folds, --jobs 2", "er", ("--jobs", "2")),
)
DEVICES = Way("--devices 2", "ic", ("--devices", "2"))


@dataclass(frozen=True)
class Case:
    """One cell of the table's left side: the upstream's words, the store, the loading processes."""

    upstream: str
    words: tuple[str, ...]
    store: str
    workers: int

    def command(self, way: Way, place: Path) -> list[str]:
        """The command's words; the corpora and stores are shared by all."""
        settings = [f"runner.{setting}" for setting in STEPS] + [f"{WORKERS}={self.workers}"]
        name = "".join(one for one in way.name if one.isalnum())
        out = place / f"{self.upstream}-{self.store}-{self.workers}-{name}"
        return [
            self.words[0],
            way.task,
            *self.words[1:],
            *("--data", str(place / "data"), "--recipe", "demo", "--device", "cpu", "--out", str(out)),
            *("--features", self.store, "--features-precision", "fp32"),
            *(word for setting in settings for word in ("-o", setting)),
            *way.more,
        ]


def found(out: Path) -> dict[tuple[object, ...], Result]:
    """The runs' results below a folder, by what tells them apart."""
    keys: dict[tuple[object, ...], Result] = {}
    for path in out.glob("*/*/**/result.json"):
        one = results.read(path)
        fold = path.parent.name if path.parent.name.startswith("fold") else None
        if (one.task == "er" and fold is None) or path.parent.name.endswith("-sweep"):
            continue  # made of other results
        keys[one.task, one.seed, one.config["optimizer"]["lr"], fold] = one
    return keys


def same(left: Result, right: Result) -> bool:
    """Whether numbers, predictions and kept weights are equal to the bit."""
    return left.metrics == right.metrics and left.artefacts == right.artefacts and left.steps == right.steps


def start(command: Sequence[str], apart: bool, cores: Path) -> None:
    """Run a command to its end, in this process or in one of its own.

    cores: a folder whose module Python imports first, in every process.
    """
    if apart:
        words = [sys.executable, "-m", "downstream_runs", *command]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(cores)])}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=1800)
        if done.returncode != 0:
            raise SystemExit(
                f"{' '.join(command)}\nended with code {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return
    from downstream_runs.cli import main as cli

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code_ = cli.main(list(command))
    if code_ != 0:
        raise SystemExit(f"{' '.join(command)}\nended with code {code_}:\n{said.getvalue()}")


def rows(
    case: Case, ways: Sequence[Way], place: Path, reference: dict[str, dict[tuple[object, ...], Result]]
) -> Iterator[str]:
    """The rows of one case; `reference` is filled by the runs alone without loading processes."""
    for way in ways:
        start(case.command(way, place), way.apart, place / "cores")
    for way in dict.fromkeys(dataclasses.replace(way, more=()) for way in ways):
        out = Path(case.command(way, place)[case.command(way, place).index("--out") + 1])
        got = found(out)
        kind = "devices" if way.name == DEVICES.name else "alone"
        key = f"{case.upstream} {case.store} {kind}"
        if case.workers == 0 and (not way.apart or kind == "devices"):
            reference.setdefault(key, {}).update(got)
        wanted = reference[key]
        equal = sum(same(one, wanted[name]) for name, one in got.items())
        said = "yes" if got and equal == len(got) else "**NO**"
        where = f"{case.upstream} | {case.store} | {case.workers} | {way.name}"
        yield f"| {where} | {equal} of {len(got)} | {said} |"


def prepare(place: Path) -> dict[str, tuple[str, ...]]:
    """Make the corpora and the student; returns the command's words for each upstream."""
    os.sched_getaffinity = lambda pid: set(range(CORES))
    (place / "cores").mkdir(exist_ok=True)
    (place / "cores" / "sitecustomize.py").write_text(
        f"import os\n\nos.sched_getaffinity = lambda pid: set(range({CORES}))\n", encoding="utf-8"
    )
    from downstream_runs import tasks
    from upstream_arm.checkpoint import save_student
    from upstream_arm.expert import from_seed

    student = from_seed(SMALL).student
    save_student(student.state_dict(), student.config, place / "tiny.safetensors", {})
    for name in ("ic", "er"):
        tasks.get(name).corpus.make_demo(place / "data")
    return {
        "fbank": ("fbank",),
        "student": ("armhubert_local", "--ckpt", str(place / "tiny.safetensors")),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 if all is equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--place", type=Path, required=True, metavar="DIR", help="where all goes")
    parser.add_argument("--stores", default=",".join(STORES), help="default: all three")
    options = parser.parse_args(argv)
    place: Path = options.place.expanduser().absolute()
    place.mkdir(parents=True, exist_ok=True)
    upstreams = prepare(place)
    reference: dict[str, dict[tuple[object, ...], Result]] = {}
    print("| upstream | store | loading processes | started as | equal | all |")
    print("| --- | --- | ---: | --- | --- | --- |")
    cells = [(name, store) for name in upstreams for store in options.stores.split(",")]
    parts: list[tuple[tuple[str, str], int, tuple[Way, ...]]] = []
    for cell in cells:
        parts += [(cell, 0, (*ALONE, DEVICES)), (cell, 2, (*ALONE, *WAYS, DEVICES))]
    parts += [(cell, 0, WAYS) for cell in cells]
    bad = 0
    for (name, store), workers, ways in parts:
        for row in rows(Case(name, upstreams[name], store, workers), ways, place, reference):
            bad += "NO" in row
            print(row, flush=True)
    print(f"\n{bad} rows are not equal")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
