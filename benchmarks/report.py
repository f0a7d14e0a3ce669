"""How long a report takes: `python benchmarks/report.py` makes 1,000 synthetic runs and reports on them.

Each round starts `python -m reports build`, and beside it a Python that only imports what drawing needs: no
report can be quicker than that. Printed are seconds by the clock and, over all processes, of processor; the
first depends on what else the machine does. The runs are invented, their numbers mean nothing. It needs the
tests of the checkout, which make them, and no torch. With `--true-sizes` their test items and trials are as
many as those of the official test sets (22 MB for an upstream): `--true-sizes --runs 240` are 24 systems.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
FLOOR = "import numpy, scipy.special, matplotlib.backends.backend_agg, matplotlib.backends.backend_svg"
TASKS = 10


def make(root: Path, upstreams: int, true_sizes: bool) -> None:
    """All ten tasks of this many upstreams, every third one a demo."""
    sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests" / "support")]
    import synthetic  # type: ignore[import-not-found]

    for number in range(upstreams):
        labels = ("demo", "shortened") if number % 3 == 2 else ()
        name, skill = f"upstream_{number:04d}", 0.5 + number / upstreams
        synthetic.make(root, name, skill=skill, labels=labels, true_sizes=true_sizes)


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock and of processor, and the most memory, of a Python with what it started."""

    wall: float
    processor: float
    mib: int


def cost(*arguments: str) -> Cost:
    """Of one Python with these arguments."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen([sys.executable, "-P", *arguments], stdout=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} ended with code {os.waitstatus_to_exitcode(status)}")
    return Cost(time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)


def main() -> int:
    """Print a row for each round."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, help="ten for each upstream, default 1000")
    parser.add_argument("--true-sizes", action="store_true", help="as many test items as the official sets")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    arguments = parser.parse_args()
    upstreams = max(1, arguments.runs // TASKS)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        # In a process of its own: what starts a report counts as memory of it.
        maker = multiprocessing.get_context("spawn").Process(
            target=make, args=(place / "runs", upstreams, arguments.true_sizes)
        )
        maker.start()
        maker.join()
        print(f"{upstreams * TASKS} runs, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        print("round   report: clock  processor   MiB   imports alone: clock  processor")
        for number in range(arguments.rounds):
            whole = cost("-m", "reports", "build", str(place / "runs"), "--to", str(place / "out"))
            floor = cost("-c", FLOOR)
            print(
                f"{number + 1:>5} {whole.wall:>15.2f} {whole.processor:>10.2f} {whole.mib:>5} "
                f"{floor.wall:>22.2f} {floor.processor:>10.2f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
