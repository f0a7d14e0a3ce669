"""What Slurm's queue says of our jobs, and our own list of which run is which, `OUT/slurm/jobs.jsonl`."""

from __future__ import annotations

import fcntl
import getpass
import json
import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from downstream_runs.core import records, run_folder
from upstream_arm.common.errors import UsageError

JOBS = Path(run_folder.JOBS)
WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD"})
RUNNING = frozenset(
    {"RUNNING", "COMPLETING", "SUSPENDED", "SIGNALING", "STAGE_OUT", "STOPPED", "RESIZING", "SPECIAL_EXIT"}
)
ACTIVE = WAITING | RUNNING
SECONDS = 30  # for an answer of Slurm's


def require_slurm(hint: str) -> None:
    """UsageError if this machine cannot submit jobs."""
    if shutil.which("sbatch") is None or shutil.which("squeue") is None:
        raise UsageError(f"there is no sbatch on PATH, which {hint}")


def states() -> dict[str, str] | None:
    """Job -> state of every job of this user that Slurm still knows; None where Slurm gives no answer."""
    if shutil.which("squeue") is None:
        return None
    asked = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T"]
    asked.append(f"--user={getpass.getuser()}")
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    pairs = (line.strip().split("|") for line in done.stdout.splitlines() if "|" in line)
    return {job: state for job, state, *_ in pairs}


def ended(job: Mapping[str, Any]) -> bool:
    """Whether a recorded job has left its exit code; Slurm may call it running for some seconds more."""
    return Path(job["end"]).exists()


def state(job: Mapping[str, Any] | None, states: Mapping[str, str] | None) -> str:
    """What `states` say of a recorded job; empty where they say nothing, and for a job that has ended."""
    return "" if job is None or states is None or ended(job) else states.get(job["job"], "")


def cancel(job: str) -> str | None:
    """Take a job from the queue, or stop it; returns Slurm's complaint, or None."""
    try:
        done = subprocess.run(["scancel", job], capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip() or "scancel failed" if done.returncode else None


def record(out: Path, run: str, job: str, log: Path, end: Path) -> None:
    """Note that the run in folder `run` of `out` is `job`, which leaves its exit code in `end`."""
    path = out / JOBS
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    line = {"run": run, "job": job, "log": str(log), "end": str(end), "time": now, "step": 0}
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(line) + "\n")


def recorded(out: Path) -> dict[str, dict[str, Any]]:
    """Run -> its newest job, as `record` noted it."""
    lines = records.read(out / JOBS)
    keys = ("run", "job", "log", "end")
    return {line["run"]: line for line in lines if all(isinstance(line.get(key), str) for key in keys)}
