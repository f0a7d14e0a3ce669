"""Kills a whole job with SIGKILL at random moments, and compares its end with that of an undisturbed one.

`python benchmarks/kill_proof.py --place DIR --kills 10 -- fbank,armhubert all --demo` runs the command once
in peace (in DIR/calm) and once in DIR/killed-local, where all its processes are killed ten times and the same
command is started again each time. With `--launcher slurm` the second one runs as jobs of Slurm, whose
processes are killed with it; a Slurm of one node is started where this machine is in no cluster. It prints
when and where each kill struck, then a row for each result: whether its numbers, its predictions and its
checkpoints are those of the undisturbed job, bit for bit. Exit code 1 if any is not. The undisturbed job is
kept and used again.

With `--warm` each start that is to be killed is a fork of this process, which has imported everything: on a
busy machine most kills would strike a program that is still importing. The last start is the command itself.

One thread a process, unless OMP_NUM_THREADS says otherwise: another number of threads rounds sums otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import multiprocessing
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from downstream_runs.core import queue, records, results
from upstream_arm.common.files import atomic_write_text, read_json, sha256_file

CHECKOUT = Path(__file__).resolve().parents[1]
START_SECONDS = 8.0
"""About what a run takes before its first new step; without it short jobs would be killed only in there."""
GONE_SECONDS = 30.0
TIMED = ("result.json", "sweep.json")
"""Artefacts that hold wall-clock times, so that their hashes differ; results are compared by content."""


@dataclass(frozen=True)
class Kill:
    """One kill: seconds after the start, results that there were, and the file that was written last."""

    seconds: float
    results: int
    last: str


@dataclass(frozen=True)
class Row:
    """A result that was compared. predictions, checkpoints: how many files are equal, and of how many."""

    run: str
    numbers: str
    same_numbers: bool
    predictions: tuple[int, int]
    checkpoints: tuple[int, int]

    @property
    def good(self) -> bool:
        """Whether everything is equal, with something to compare."""
        return (
            self.same_numbers
            and self.predictions[0] == self.predictions[1]
            and (self.checkpoints[0] == self.checkpoints[1])
        )


def start(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """The command in a process group of its own, its output added to a log."""
    # With the Python of this script, which has the packages.
    environment = {"OMP_NUM_THREADS": "1", "SUPERB_PYTHON": sys.executable, **os.environ}
    with log.open("ab") as file:
        return subprocess.Popen(
            [str(CHECKOUT / "run_superb.sh"), *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


class Fork:
    """A command in a process forked from this one; as much of `subprocess.Popen` as is needed here."""

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self.returncode: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            os.setsid()
            with log.open("ab") as file:
                for stream in (1, 2):
                    os.dup2(file.fileno(), stream)
            code = run_forked(words)
        finally:
            sys.stdout.flush()
            os._exit(code)

    def wait(self, timeout: float = math.inf) -> int:
        """Its exit code; TimeoutExpired after so many seconds."""
        deadline = time.monotonic() + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("", timeout)
            else:
                time.sleep(0.05)
        return self.returncode


def run_forked(words: Sequence[str]) -> int:
    """The command within this process, its runs forks too, which need not import anything again."""
    from downstream_runs.cli import main as cli

    real = multiprocessing.get_context
    multiprocessing.get_context = lambda method=None: real("fork")  # type: ignore[assignment]
    return cli.main(list(words))


def warm(words: Sequence[str]) -> None:
    """Import what the command's runs import."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from downstream_runs import bridge
    from downstream_runs.cli import plans

    bridge.apply()
    for name in plans.task_names(words[1]):
        from downstream_runs import tasks

        importlib.import_module(f"s3prl.downstream.{tasks.get(name).s3prl_name}.expert")
    for name in ("engine.session", "features.extractor"):
        importlib.import_module(f"downstream_runs.{name}")


def kill(process: subprocess.Popen[bytes] | Fork) -> None:
    """Kill the whole group, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + GONE_SECONDS
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.1)


def kill_jobs(out: Path) -> None:
    """Kill the processes of every job that Slurm runs for this folder, and wait until Slurm has seen it."""
    states = queue.states() or {}
    ours = [job.name for job in queue.recorded(out).values()]
    running = [job for job in ours if states.get(job) == "RUNNING"]
    for job in running:
        subprocess.run(["scancel", "--full", "--signal=KILL", job], check=False, capture_output=True)
    deadline = time.monotonic() + GONE_SECONDS
    while running and time.monotonic() < deadline:
        time.sleep(0.5)
        states = queue.states() or {}
        running = [job for job in running if states.get(job) in queue.RUNNING]


def disturb(
    words: Sequence[str],
    out: Path,
    kills: int,
    seconds: float,
    chance: random.Random,
    begin: Callable[[Sequence[str], Path], subprocess.Popen[bytes] | Fork] = start,
) -> list[Kill]:
    """Start the command, kill it, start it again; after the last kill let it end. Returns the kills.

    seconds: mean time from a start to a kill. begin: starts the command; `start` does where it is to end.
    """
    log = out.with_name(f"{out.name}.log")
    found: list[Kill] = []
    while len(found) < kills:
        process = begin(words, log)
        delay = chance.uniform(0, 2 * seconds)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            kill(process)
            kill_jobs(out)
            found.append(Kill(delay, len(list(out.rglob("result.json"))), last_written(out)))
            print(f"  kill {len(found)} of {kills} after {delay:.1f} s: {found[-1].last}", flush=True)
            continue
        except BaseException:
            kill(process)
            raise
        if process.returncode == 0:
            print(f"it ended by itself after {len(found)} kills; give --seconds less")
            return found
    finish(words, log)
    return found


def finish(words: Sequence[str], log: Path) -> float:
    """Run the command to its end; returns the seconds that it took."""
    begun = time.monotonic()
    process = start(words, log)
    try:
        code = process.wait()
    except BaseException:
        kill(process)
        raise
    if code != 0:
        raise SystemExit(f"the command ended with code {code}; its output is in {log}")
    return time.monotonic() - begun


def last_written(out: Path) -> str:
    """The newest file of a run, and the last step in its journal: where the kill struck."""
    logs = {out / "logs", out / "slurm"}
    files = [path for path in out.rglob("*") if path.is_file() and path.name != "lock"]
    files = [path for path in files if not logs & set(path.parents)]
    if not files:
        return "nothing written yet"
    newest = max(files, key=lambda path: path.stat().st_mtime_ns)
    run = next((place for place in newest.parents if (place / "plan.json").exists()), None)
    steps = [line["step"] for line in records.read(run / "events.jsonl")] if run else []
    return str(newest.relative_to(out)) + (f" (step {max(steps)})" if steps else "")


def compare(calm: Path, other: Path) -> Iterator[Row]:
    """A row for each result of either folder."""
    found = {
        path.relative_to(folder) for folder in (calm, other) for path in folder.glob("*/*/**/result.json")
    }
    for path in sorted(found):
        if not ((calm / path).exists() and (other / path).exists()):
            missing = calm if (other / path).exists() else other
            yield Row(str(path.parent), f"missing in {missing.name}", False, (0, 0), (0, 0))
        else:
            yield _row(calm / path, other / path, str(path.parent))


def _row(calm: Path, other: Path, run: str) -> Row:
    left, right = results.read(calm), results.read(other)
    same = all(
        getattr(left, name) == getattr(right, name)
        for name in ("metrics", "steps", "labels", "deviations", "config_hash", "seed", "upstream_parameters")
    )
    same = same and left.corpus.hash == right.corpus.hash and left.corpus.counts == right.corpus.counts
    named = {*left.artefacts, *right.artefacts}
    predictions = sorted(name for name in named if Path(name).name not in TIMED and not _trained(name))
    equal = sum(_same_file(calm.parent / name, other.parent / name) for name in predictions)
    kept = {
        str(path.relative_to(folder))
        for folder in (calm.parent, other.parent)
        for pattern in ("*.ckpt", "checkpoints/*.pt")
        for path in folder.glob(pattern)
    }
    states = sorted({*kept, *(name for name in named if _trained(name))})
    same_states = sum(_same_state(calm.parent / name, other.parent / name) for name in states)
    numbers = ", ".join(f"{one.name} {one.value:.6g}" for one in right.metrics if one.role == "headline")
    return Row(run, numbers, same, (equal, len(predictions)), (same_states, len(states)))


def _trained(name: str) -> bool:
    return name.endswith((".ckpt", ".pt"))


def _same_file(left: Path, right: Path) -> bool:
    return left.is_file() and right.is_file() and sha256_file(left) == sha256_file(right)


def _same_state(left: Path, right: Path) -> bool:
    """Whether two files of tensors hold the same bits; their pickles may differ in what they share."""
    if not (left.is_file() and right.is_file()):
        return False
    if _same_file(left, right):
        return True
    import torch

    return _equal(*(torch.load(path, map_location="cpu", weights_only=True) for path in (left, right)))


def _equal(left: Any, right: Any) -> bool:
    import torch

    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, Mapping):
        return left.keys() == right.keys() and all(_equal(value, right[key]) for key, value in left.items())
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def show(kills: Sequence[Kill], rows: Sequence[Row]) -> None:
    """The two tables, as Markdown."""
    print("\n| kill | after s | results by then | last file written |\n| ---: | ---: | ---: | --- |")
    for number, one in enumerate(kills, 1):
        print(f"| {number} | {one.seconds:.1f} | {one.results} | `{one.last}` |")
    print("\n| run | numbers | equal | predictions | checkpoints |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        cells = [f"{equal} of {all_} equal" for equal, all_ in (row.predictions, row.checkpoints)]
        said = "yes" if row.same_numbers else "**NO**"
        print(f"| {row.run} | {row.numbers} | {said} | {cells[0]} | {cells[1]} |")
    bad = sum(not row.good for row in rows)
    print(f"\n{len(kills)} kills; {len(rows) - bad} of {len(rows)} results equal to the last bit")


@contextlib.contextmanager
def cluster(launcher: str) -> Iterator[None]:
    """A Slurm for `--launcher slurm`: the one that this machine is in, or a node of our own."""
    if launcher != "slurm" or queue.states() is not None:
        yield
        return
    # The tests' own; the packages have no use for it.
    sys.path.insert(0, str(CHECKOUT / "tests" / "downstream_runs" / "launch"))
    slurm_node = importlib.import_module("slurm_node")
    # Slurm's sockets need a short path.
    with tempfile.TemporaryDirectory() as folder:
        node = slurm_node.Node(Path(folder))
        try:
            node.start()
            os.environ["SLURM_CONF"] = str(node.conf)
            print("started a Slurm of one node", flush=True)
            yield
        except slurm_node.CannotStart as reason:
            raise SystemExit(f"no Slurm can be started here: {reason}") from None
        finally:
            node.stop()


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Options before `--`, the command after it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--place", type=Path, required=True, metavar="DIR", help="where both jobs go")
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="default: 10")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument(
        "--seconds", type=float, help="mean time to a kill (default: spread over the undisturbed job's time)"
    )
    parser.add_argument(
        "--warm", action="store_true", help="fork this process instead of a new one each time"
    )
    parser.add_argument("--launcher", choices=("local", "slurm"), default="local")
    parser.add_argument("command", nargs="+", metavar="-- UPSTREAM TASK [options]")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run both jobs, compare, print; 0 if all is equal."""
    options = parse(argv)
    place = options.place.expanduser().absolute()
    place.mkdir(parents=True, exist_ok=True)
    calm, out = place / "calm", place / f"killed-{options.launcher}"
    if out.exists():
        raise SystemExit(f"{out} is there from an earlier proof; delete it, or give another --place")
    print(f"command: ./run_superb.sh {shlex.join(options.command)}", flush=True)
    record = read_json(place / "calm.json") or {}
    if record.get("command") != options.command:
        seconds = finish([*options.command, "--out", str(calm)], place / "calm.log")
        record = {"command": options.command, "seconds": seconds}
        atomic_write_text(place / "calm.json", json.dumps(record) + "\n")
    print(f"undisturbed: {record['seconds']:.0f} s", flush=True)
    words = [*options.command, "--out", str(out)]
    if options.launcher == "slurm":
        words += ["--launcher", "slurm", "--slurm-cpus", "1"]
    mean = options.seconds or START_SECONDS + record["seconds"] / (options.kills + 1)
    if options.warm:
        warm(options.command)
    with cluster(options.launcher):
        begin = Fork if options.warm else start
        kills = disturb(words, out, options.kills, mean, random.Random(options.seed), begin)
    rows = list(compare(calm, out))
    show(kills, rows)
    left = [path for path in out.rglob("*.tmp") if "demo-data" not in path.parts]
    print(f"{len(left)} temporary files left behind")
    return 0 if rows and all(row.good for row in rows) and not left else 1


if __name__ == "__main__":
    raise SystemExit(main())
