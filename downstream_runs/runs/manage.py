"""`logs`, `cancel` and `clean`: read, stop and delete the runs of a folder."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from downstream_runs.core import queue
from downstream_runs.core.run import upstream_folder
from downstream_runs.core.run_folder import LOCK, LOGS, PLAN, RESULT, SWEEP, is_fold
from downstream_runs.runs import status, submission
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import read_json
from upstream_arm.common.lock import hold_if_free
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.reading import TABLE_BYTES, read_text

PATIENCE_SECONDS = 30.0
"""How long a run may take to end in good order."""


def logs(options: argparse.Namespace) -> int:
    """Print the last `lines` lines of each log of the chosen runs."""
    out, chosen = _chosen(options)
    for run in chosen:
        fold = f"{run.folder.parent.name}-" if is_fold(run.folder.name) else ""
        launched = sorted((out / LOGS).glob(f"*-{fold}{run.folder.name}.log"))
        for file in dict.fromkeys([*launched, run.log]):
            if not file.exists():
                continue
            print(f"== {file}")
            try:
                lines = read_text(file, TABLE_BYTES, errors="replace").splitlines()
            except OSError as error:
                print(f"cannot be read: {error.strerror}")
                continue
            print("\n".join(line.split("\r")[-1] for line in lines[-options.lines :]))
        if run.said:
            print(f"failed: {run.said}")
    return 0


def cancel(options: argparse.Namespace) -> int:
    """Stop the chosen runs in good order; 1 if one cannot be stopped from here."""
    out, chosen = _chosen(options)
    jobs, states = queue.recorded(out), queue.states()
    failed = False
    for run in chosen:
        name = run.folder.relative_to(out)
        job = jobs.get(str(name))
        if job is not None and job.state(states) in queue.ACTIVE:
            problem, good = queue.cancel(job), f"job {job.name} cancelled"
        elif run.state == "running":
            problem, good = _terminate(run.folder), "stopped"
        else:
            problem, good = None, f"{run.state}, nothing to stop"
        print(f"{name}: {problem or good}")
        failed = failed or problem is not None
    return 1 if failed else 0


def clean(options: argparse.Namespace) -> int:
    """Delete the folders of the chosen runs, after saying which and only with `yes`."""
    out, chosen = _chosen(options, links=False)
    going = []
    for run in chosen:
        if not _is_run(run.folder):
            continue
        if run.state in ("running", "waiting"):
            print(f"kept:   {run.folder} ({run.state}; `cancel` it first)")
            continue
        going.append(run)
        files = (Path(place) / name for place, _, names in os.walk(run.folder) for name in names)
        size = sum(file.lstat().st_size for file in files) / 1e6
        print(f"delete: {run.folder} ({run.state}, {size:.1f} MB)")
    derived = _derived(out, chosen, going)
    for folder in derived:
        print(f"delete: {folder / RESULT} (made of the numbers of these runs)")
    if not options.yes:
        print(f"nothing was deleted; with --yes {len(going)} runs go, their results too")
        return 0
    # First what is made of the runs' numbers: a kill in between leaves no result without its runs.
    for folder in derived:
        (folder / RESULT).unlink(missing_ok=True)
    for run in going:
        with hold_if_free(run.folder) as free:
            if free:
                shutil.rmtree(run.folder)
            else:
                print(f"kept:   {run.folder} (a process has begun to work on it)")
    for folder, runs in derived.items():
        if not any(run.exists() for run in runs):
            shutil.rmtree(folder)
    print(f"deleted {sum(not run.folder.exists() for run in going)} of {len(going)} runs")
    return 0


def _is_run(folder: Path) -> bool:
    return (folder / PLAN).is_file()


def _derived(
    out: Path, chosen: Sequence[status.Status], going: Sequence[status.Status]
) -> dict[Path, list[Path]]:
    """Folders whose result is made of several runs' and has to go with them -> the folders of these runs.

    The mean of folds goes with any of them. The result of a sweep has files of its own and goes with the last
    of its rates. One whose runs are gone already goes if it is chosen itself.
    """
    asked, leaving = {run.folder for run in chosen}, {run.folder for run in going}
    every = [run.folder for run in status.find(out)]
    found = {}
    for folder in every:
        if _is_run(folder) or not _is_made_of_runs(folder):
            continue
        runs = [run for run in every if _is_run(run) and folder in run.parents]
        any_is_enough = not (folder / SWEEP).exists()
        gone = [run in leaving for run in runs]
        if (any(gone) if any_is_enough else runs and all(gone)) or (folder in asked and not runs):
            found[folder] = runs
    return found


def _is_made_of_runs(folder: Path) -> bool:
    """Whether a result in a folder without a plan is one of ours: a sweep's, or made of results of folds."""
    result = status.result_of(folder)
    names = {} if result is None else result.artefacts
    return SWEEP in names or (bool(names) and all(is_fold(Path(name).parent.name) for name in names))


def _chosen(options: argparse.Namespace, links: bool = True) -> tuple[Path, list[status.Status]]:
    """The folder of runs, and the runs in it that the arguments name; UsageError if there are none.

    Without --out it is the folder of the run that is given. links: also those behind links.
    """
    wanted = submission.run_folder(Path(os.path.expanduser(options.what)).absolute())
    # A run is UPSTREAM/TASK/RUN, and its own files say which task.
    own = read_json(wanted / PLAN) or read_json(wanted / RESULT) or {}
    around = (above.parent.parent for above in wanted.parents if above.name == own.get("task"))
    out: Path = (options.out or next(around, Path("runs"))).expanduser().absolute()
    # The same folder may have been given by way of a link above it, but a link itself is not its target.
    real = wanted if wanted.is_symlink() else wanted.resolve()
    found = []
    for run in status.find(out) if out.is_dir() else ():
        upstream, task, *_ = run.folder.relative_to(out).parts
        by_name = upstream_folder(options.what.removeprefix("hf:")) == upstream and options.task in (
            None,
            task,
        )
        own_real = out.resolve() / run.folder.relative_to(out)
        within = wanted in (run.folder, *run.folder.parents) or real in (own_real, *own_real.parents)
        by_folder = options.task is None and within and real != out.resolve()
        # A link could lead out of the folder, to what is not ours to delete.
        allowed = links or run.folder.resolve() == own_real
        if allowed and (by_name or by_folder):
            found.append(run)
    if not found:
        what = " ".join(filter(None, (options.what, options.task)))
        raise UsageError(
            f"{what} is no run in {options.out or out}; {PROGRAM} status --out DIR lists the runs"
        )
    return out, found


def _terminate(folder: Path) -> str | None:
    """Have the process that holds the folder's lock end; returns why that failed, or None."""
    holder = read_json(folder / LOCK) or {}
    pid, host = holder.get("pid"), holder.get("host")
    # 0 and below would mean whole groups of processes.
    if host != socket.gethostname() or not isinstance(pid, int) or pid < 2:
        return f"runs on host {host or 'unknown'}: cancel it there"
    with hold_if_free(folder) as free:
        if free:  # the process number is another's by now
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with hold_if_free(folder) as free:
            if free:
                return None
        time.sleep(0.2)
    return f"process {pid} has not ended within {PATIENCE_SECONDS:.0f} s"
