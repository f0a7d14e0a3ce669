"""`logs`, `cancel` and `clean`: read, stop and delete the runs of a folder."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from downstream_runs import status
from downstream_runs.errors import UsageError
from downstream_runs.files import read_json
from downstream_runs.launch import queue
from downstream_runs.parser import Parser

PATIENCE_SECONDS = 30.0
"""How long a run may take to end in good order."""


def logs(argv: Sequence[str]) -> int:
    """Print the ends of the logs of runs."""
    parser = _parser("logs", "Print the end of each log of the runs, or of all with --lines 0.")
    parser.add_argument("--lines", type=int, default=20, metavar="N", help="default: 20")
    options = parser.parse_args(argv)
    if options.lines < 0:
        raise UsageError(f"--lines is {options.lines}, expected at least 0")
    for run in _chosen(options):
        for file in dict.fromkeys([*_launched(options.out, run), run.log]):
            if not file.exists():
                continue
            print(f"== {file}")
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            print("\n".join(line.split("\r")[-1] for line in lines[-options.lines :]))
        if run.said:
            print(f"failed: {run.said}")
    return 0


def cancel(argv: Sequence[str]) -> int:
    """Stop runs in good order: the same command continues them later."""
    parser = _parser("cancel", "Stop runs, or take them from Slurm's queue; the same command goes on later.")
    options = parser.parse_args(argv)
    out = options.out.expanduser().absolute()
    jobs, states = queue.recorded(out), queue.states()
    failed = False
    for run in _chosen(options):
        name = run.folder.relative_to(out)
        record = jobs.get(str(name))
        if record is not None and queue.state(record, states) in queue.ACTIVE:
            problem = queue.cancel(record["job"])
            print(f"{name}: {problem or 'job ' + record['job'] + ' cancelled'}")
            failed = failed or problem is not None
        elif run.state == "running":
            said = _terminate(run.folder)
            print(f"{name}: {said or 'stopped'}")
            failed = failed or said is not None
        else:
            print(f"{name}: {run.state}, nothing to stop")
    return 1 if failed else 0


def clean(argv: Sequence[str]) -> int:
    """Delete folders of runs, after saying which and only with --yes."""
    parser = _parser("clean", "Delete runs with their results. Without --yes it only says what would go.")
    parser.add_argument("--yes", action="store_true", help="delete what is listed")
    options = parser.parse_args(argv)
    runs = [run for run in _chosen(options) if (run.folder / "plan.json").is_file()]
    going = []
    for run in runs:
        if run.state in ("running", "waiting"):
            print(f"kept:   {run.folder} ({run.state}; `cancel` it first)")
            continue
        going.append(run)
        print(f"delete: {run.folder} ({run.state}, {_megabytes(run.folder):.1f} MB)")
    if not options.yes:
        print(f"nothing was deleted; with --yes {len(going)} runs go, their results too")
        return 0
    for run in going:
        with _alone(run.folder) as free:
            if free:
                shutil.rmtree(run.folder)
            else:
                print(f"kept:   {run.folder} (a process has begun to work on it)")
    print(f"deleted {sum(not run.folder.exists() for run in going)} of {len(going)} runs")
    return 0


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = Parser(prog=f"./run_superb.sh {command}", description=description, allow_abbrev=False)
    parser.add_argument("what", metavar="RUN|UPSTREAM", help="the folder of a run, or an upstream")
    parser.add_argument("task", nargs="?", metavar="TASK", help="of the upstream (default: all its tasks)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are (default: runs)"
    )
    return parser


def _chosen(options: argparse.Namespace) -> list[status.Status]:
    """The runs that the arguments name; UsageError if there are none."""
    out = options.out.expanduser().absolute()
    wanted = Path(os.path.expanduser(options.what)).absolute()
    found = []
    for run in status.find(out) if out.is_dir() else ():
        upstream, task, *_ = run.folder.relative_to(out).parts
        by_name = options.what == upstream and options.task in (None, task)
        by_folder = options.task is None and wanted in (run.folder, *run.folder.parents) and wanted != out
        # A link could lead out of the folder; no run of ours is one.
        own = run.folder.resolve() == out.resolve() / run.folder.relative_to(out)
        if own and (by_name or by_folder):
            found.append(run)
    if not found:
        what = " ".join(filter(None, (options.what, options.task)))
        raise UsageError(
            f"{what} is no run in {options.out}; ./run_superb.sh status --out DIR lists the runs"
        )
    return found


def _launched(out: Path, run: status.Status) -> list[Path]:
    """What a launcher kept of the run's output."""
    fold = f"{run.folder.parent.name}-" if run.folder.name.startswith("fold") else ""
    return sorted((out / "logs").glob(f"*-{fold}{run.folder.name}.log"))


def _terminate(folder: Path) -> str | None:
    """Have the process that holds the folder's lock end; returns why that failed, or None."""
    holder = read_json(folder / "lock") or {}
    pid, host = holder.get("pid"), holder.get("host")
    # 0 and below would mean whole groups of processes.
    if host != socket.gethostname() or not isinstance(pid, int) or pid < 2:
        return f"runs on host {host or 'unknown'}: cancel it there"
    with _alone(folder) as free:
        if free:  # the process number is another's by now
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with _alone(folder) as free:
            if free:
                return None
        time.sleep(0.2)
    return f"process {pid} has not ended within {PATIENCE_SECONDS:.0f} s"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Hold the run's lock if nobody has it."""
    try:
        file = (folder / "lock").open("r+")
    except OSError:
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _megabytes(folder: Path) -> float:
    files = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return sum(file.lstat().st_size for file in files) / 1e6
