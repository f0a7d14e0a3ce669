"""What runs cost on corpora of a tenth, a third and all of the official counts, and how it grows.

`python benchmarks/scale.py --place DIR` makes the trees (`_trees.py`: noise, hard links, invented lists); the
one of all counts may also be given, `--data DIR`. Of each task it measures, in processes of their own:

  check       `check TASK`
  prepare     a run up to its start event: the corpus found, checked, its lists written
  start       from there to the first step
  steps       the next `--steps` steps; then it is killed
  resume      the same command again, up to the next step
  evaluation  a run of one step from that step to its end, on trees of up to `--evaluate` of the counts
  report      `python -m reports build` of these results

A row has processor seconds with those of child processes, the largest process's memory, and how often Python
opened files of the corpora, asked about them (stat) and listed their folders. An exponent is that of the
growth from the tree before. Exit code 1 where one of seconds is above 1.15 for what takes more than a second;
with `--by-counts`, where one of counts is, for more than 500: seconds depend on what else the machine does.
QbE, which trains nothing, has no steps.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

import _trees  # noqa: E402

from downstream_runs import tasks  # noqa: E402

FRACTIONS = (0.1, 1 / 3, 1.0)
STEEPEST, LONG, MANY = 1.15, 1.0, 500
COUNTED = ("opened", "asked", "listed")
#: What every Python of a measured command imports first. Its counts stay in the file when it is killed.
COUNTER = """
import mmap, os, sys
with open(os.path.join(os.environ["SCALE_COUNTS"], f"{os.getpid()}-{os.urandom(4).hex()}"), "w+b") as file:
    file.write(bytes(24)); file.flush()
    counts = memoryview(mmap.mmap(file.fileno(), 24)).cast("Q")
root = os.environ["SCALE_DATA"]
def inside(path):
    try:
        return os.fspath(path).startswith(root)
    except (TypeError, AttributeError):
        return False
def audit(event, arguments):
    if event == "open" and inside(arguments[0]):
        counts[0] += 1
    elif event in ("os.scandir", "os.listdir") and inside(arguments[0]):
        counts[2] += 1
def counting(original):
    def ask(path, *more, **named):
        counts[1] += inside(path)
        return original(path, *more, **named)
    return ask
os.stat, os.lstat = counting(os.stat), counting(os.lstat)
sys.addaudithook(audit)
"""


@dataclass(frozen=True)
class Cost:
    """Processor seconds, the largest process's bytes, and counts in the order of COUNTED."""

    seconds: float = 0.0
    peak: int = 0
    counts: tuple[int, ...] = (0, 0, 0)

    def __sub__(self, other: Cost) -> Cost:
        counts = tuple(one - two for one, two in zip(self.counts, other.counts, strict=True))
        return Cost(self.seconds - other.seconds, self.peak, counts)


class Process:
    """A command in a session of its own, looked at while it runs."""

    def __init__(self, words: Sequence[str], data: Path, place: Path) -> None:
        self.counts = place / "counts"
        self.counts.mkdir(parents=True, exist_ok=True)
        for file in self.counts.iterdir():
            file.unlink()
        (place / "sitecustomize.py").write_text(COUNTER, encoding="utf-8")
        more = {"SCALE_COUNTS": str(self.counts), "SCALE_DATA": str(data), "OMP_NUM_THREADS": "1"}
        more["PYTHONPATH"] = os.pathsep.join([str(place), str(CHECKOUT)])
        self.words, self.log = " ".join(words), place / "log.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words],
                env={**os.environ, **more},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._peak = 0

    def until(self, ready: Callable[[], bool]) -> Cost:
        """What it has cost so far, as soon as this is so. RuntimeError if it ends before."""
        while not ready():
            self._now()
            if self.process.poll() is not None and not ready():
                raise RuntimeError(f"{self.words} ended: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        return self._now()

    def to_the_end(self) -> Cost:
        while os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            self._now()
            time.sleep(0.02)
        cost = self._now()  # of the ended process too, which nobody has waited for yet
        if self.process.wait():
            raise RuntimeError(f"{self.words}: {self.log.read_text()[-2000:]}")
        return cost

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _now(self) -> Cost:
        ticks = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                fields = (process / "stat").read_text().rpartition(") ")[2].split()
            except OSError:  # it has ended
                continue
            if int(fields[3]) == self.process.pid:  # of this session
                ticks += sum(map(int, fields[11:15]))
                self._peak = max(self._peak, int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))
        found = [struct.unpack("3Q", file.read_bytes().ljust(24, b"\0")) for file in self.counts.iterdir()]
        counts = tuple(map(sum, zip((0, 0, 0), *found, strict=True)))
        return Cost(ticks / os.sysconf("SC_CLK_TCK"), self._peak, counts)


@dataclass(frozen=True)
class Measured:
    """A task on one tree."""

    task: str
    data: Path
    place: Path
    steps: int
    evaluates: bool
    overrides: Sequence[str] = ()

    @property
    def trains(self) -> bool:
        return tasks.get(self.task).train_split is not None

    def stages(self) -> Iterator[tuple[str, Cost]]:
        check = ("downstream_runs", "check", self.task, "--data", str(self.data), "--out", str(self.place))
        yield "check", Process(check, self.data, self.place).to_the_end()
        if not self.trains:
            yield from self._evaluation()
            return
        run = self._run("steps", 1_000_000)
        begun = run.until(lambda: self._lines("steps", "events.jsonl") > 0)
        first = run.until(lambda: self._lines("steps", "metrics.jsonl") > 0)
        yield from (("prepare", begun), ("start", first - begun))
        yield "steps", run.until(lambda: self._lines("steps", "metrics.jsonl") > self.steps) - first
        run.kill()
        done = self._lines("steps", "metrics.jsonl")
        run = self._run("steps", 1_000_000)
        yield "resume", run.until(lambda: self._lines("steps", "metrics.jsonl") > done)
        run.kill()
        yield from self._evaluation()

    def _evaluation(self) -> Iterator[tuple[str, Cost]]:
        if not self.evaluates:
            return
        run = self._run("whole", 1)
        before = run.until(lambda: self._lines("whole", "metrics.jsonl") > 0) if self.trains else Cost()
        yield "evaluation", run.to_the_end() - before
        report = ("reports", "build", str(self.place / "whole"), "--to", str(self.place / "report"))
        yield "report", Process(report, self.data, self.place).to_the_end()

    def _run(self, out: str, steps: int) -> Process:
        sizes = {"total_steps": steps, "eval_step": 1_000_000, "save_step": 1, "log_step": 1}
        settings = [f"runner.{name}={value}" for name, value in sizes.items() if self.trains]
        words = ["downstream_runs", "fbank", self.task, "--data", str(self.data), "--recipe", "superb"]
        words += ["--device", "cpu", "--features", "off", "--out", str(self.place / out)]
        given = [word for one in (*settings, *self.overrides) for word in ("-o", one)]
        return Process([*words, *given], self.data, self.place)

    def _lines(self, out: str, name: str) -> int:
        """Lines of all journals of this name; a started run's, and those of its folds."""
        return sum(path.read_bytes().count(b"\n") for path in (self.place / out).rglob(name))


def exponent(before: float, after: float, growth: float) -> float:
    """Of the growth from one number to the other where the items grew so many times."""
    return math.log(max(after, 1e-9) / max(before, 1e-9)) / math.log(growth)


def compare(
    name: str, before: tuple[float, Cost], after: tuple[float, Cost], by_counts: bool
) -> tuple[str, list[str]]:
    """The cells of the exponents, and sentences about those that are too steep."""
    growth = after[0] / before[0]
    of_seconds = exponent(before[1].seconds, after[1].seconds, growth)
    cells, steep = f"{of_seconds:8.2f}", []
    if not by_counts and after[1].seconds > LONG and of_seconds > STEEPEST:
        steep.append(f"{name}: processor seconds grow with the items to the power of {of_seconds:.2f}")
    for kind, one, other in zip(COUNTED, before[1].counts, after[1].counts, strict=True):
        of_counts = exponent(one or 1, other or 1, growth)
        cells += f" {of_counts:7.2f}"
        if by_counts and other > MANY and of_counts > STEEPEST:
            steep.append(f"{name}: files {kind} grow with the items to the power of {of_counts:.2f}")
    return cells, steep


def measure(arguments: argparse.Namespace) -> list[str]:
    """Print the table as it is measured; what is too steep."""
    heads = "".join(map("{:>9}".format, COUNTED))
    print(
        f"{'task':<5}{'tree':>6} {'stage':<11}{'seconds':>8}{'MB':>7}{heads}   exponents of seconds, counts"
    )
    steep, names = [], arguments.tasks.split(",")
    sizes = sorted(arguments.fractions)
    trees = {size: arguments.place / f"tree-{size:.4f}" for size in sizes}
    if arguments.data:
        trees[1.0] = arguments.data
    for size, tree in trees.items():
        if not tree.exists():
            _trees.make(tree, size, names)
    for task in names:
        before: dict[str, tuple[float, Cost]] = {}
        for size in sizes:
            place, evaluates = arguments.place / f"{task}-{size:.4f}", size <= arguments.evaluate
            one = Measured(task, trees[size], place, arguments.steps, evaluates, arguments.overrides)
            for stage, cost in one.stages():
                cells, worse = "", list[str]()
                if stage in before:
                    cells, worse = compare(
                        f"{task} {stage}", before[stage], (size, cost), arguments.by_counts
                    )
                before[stage] = size, cost
                steep += worse
                counts = "".join(map("{:>9,}".format, cost.counts))
                row = f"{task:<5}{size:>6.3f} {stage:<11}{cost.seconds:>8.2f}{cost.peak / 1e6:>7.0f}"
                print(f"{row}{counts} {cells}", flush=True)
    return steep


def main() -> int:
    """Measure what was asked for; 1 if anything grows too steeply."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--place", type=Path, required=True, metavar="DIR", help="a new folder, for the trees and the runs")
    add("--data", type=Path, metavar="DIR", help="corpora of all counts (default: make them)")
    add("--tasks", default=",".join(tasks.ORDER), help="default: all")
    add("--fractions", type=float, nargs="+", default=FRACTIONS, help="of the counts (default: 1/10, 1/3, 1)")
    add("--steps", type=int, default=50, help="default 50")
    add(
        "--evaluate",
        type=float,
        default=0.0,
        metavar="FRACTION",
        help="evaluate on trees up to it (default: none)",
    )
    add(
        "-o",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the recipe: steps of whole batches of PR, SF, ASR and SD take minutes on a core",
    )
    add("--by-counts", action="store_true", help="judge counts, not seconds")
    arguments = parser.parse_args()
    arguments.place = arguments.place.resolve()
    steep = measure(arguments)
    print("\n".join(steep) or f"nothing grows with the items to a power above {STEEPEST}")
    return 1 if steep else 0


if __name__ == "__main__":
    sys.exit(main())
