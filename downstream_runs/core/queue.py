"""What Slurm's queue says of our jobs, and our own list of which run is which, `OUT/slurm/jobs.jsonl`."""

from __future__ import annotations

import fcntl
import getpass
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from downstream_runs.core import records, run_folder

JOBS = Path(run_folder.JOBS)
WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD"})
RUNNING = frozenset(
    {"RUNNING", "COMPLETING", "SUSPENDED", "SIGNALING", "STAGE_OUT", "STOPPED", "RESIZING", "SPECIAL_EXIT"}
)
ACTIVE = WAITING | RUNNING
SECONDS = 30  # for an answer of Slurm's


@dataclass(frozen=True)
class Job:
    """A job of Slurm: its name there, the run's log, and the file that its exit code goes to."""

    name: str
    log: Path
    end: Path

    def code(self) -> int | None:
        """Its exit code, once it has come to an end by itself; Slurm may call it running for a while."""
        try:
            return int(self.end.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def state(self, states: Mapping[str, str] | None) -> str:
        """What `states` say of it; empty where they say nothing, and once it has ended."""
        return "" if states is None or self.end.exists() else states.get(self.name, "")


def states() -> dict[str, str] | None:
    """Job -> state of every job of this user that Slurm still knows; None where Slurm gives no answer."""
    asked = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T"]
    done = _slurm([*asked, f"--user={getpass.getuser()}"])
    if done.returncode != 0:
        return None
    pairs = (line.strip().split("|") for line in done.stdout.splitlines() if "|" in line)
    return {job: state for job, state, *_ in pairs}


def cancel(job: Job) -> str | None:
    """Take a job from the queue, or stop it; returns Slurm's complaint, or None."""
    done = _slurm(["scancel", job.name])
    return done.stderr.strip() or "scancel failed" if done.returncode else None


def _slurm(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """What a program of Slurm's answers; code 1 and the reason where it gives no answer."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))


def record(out: Path, run: str, job: Job) -> None:
    """Note that the run in folder `run` of `out` is `job`."""
    path = out / JOBS
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    line = {"run": run, "job": job.name, "log": str(job.log), "end": str(job.end), "time": now, "step": 0}
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(line) + "\n")


def recorded(out: Path) -> dict[str, Job]:
    """Run -> its newest job, as `record` noted it."""
    keys = ("run", "job", "log", "end")
    lines = [line for line in records.read(out / JOBS) if all(isinstance(line.get(key), str) for key in keys)]
    return {line["run"]: Job(line["job"], Path(line["log"]), Path(line["end"])) for line in lines}
