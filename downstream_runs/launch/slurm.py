"""Runs as jobs of a Slurm cluster, through submitit: one array a command, each run a task of it.

A job that is preempted, or that is about to reach its time limit, puts itself back into the queue and goes
on from the run's last checkpoint. How a run ended is read from the files that it left and from `squeue`;
accounting (`sacct`) is not needed. The folder of runs must be one that all nodes share.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.core import queue
from downstream_runs.core.queue import Job
from downstream_runs.core.run import RunPlan, run_dir
from downstream_runs.launch import worker
from upstream_arm.common.errors import FAILED, UsageError
from upstream_arm.common.files import atomic_write_text

POLL_SECONDS = 5.0
SIGNAL_SECONDS = 120
"""How long before its time limit a job is told of it; Slurm may be up to a minute late."""
MAX_TIMEOUTS = 100
"""How often a job may reach its time limit: a run that no limit is long enough for must end some day."""
MINUTES, CORES = 24 * 60, 4
"""Of a job, where the command does not say."""


class Unit:
    """What a job does. submitit calls `checkpoint` before it puts the job back into the queue."""

    def __call__(self, plan: RunPlan, rerun: str, demo: bool, log: str, end: str) -> int:
        """Do what is missing of the run; a job that comes again goes on, also where it began anew."""
        again = int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0
        with worker.into(Path(log), "a"):
            if again:
                print("this job was put back into the queue and has begun again", file=sys.stderr)
            code = worker.run(plan, "missing" if again else rerun, demo)
        atomic_write_text(Path(end), f"{code}\n")
        return code

    def checkpoint(self, plan: RunPlan, rerun: str, demo: bool, log: str, end: str) -> Any:
        """What the job will do when its turn comes again."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(self, plan, "missing", demo, log, end)


def run_all(
    plans: Sequence[RunPlan], *, rerun: str, demo: bool, jobs: int | None, asked: Mapping[str, Any]
) -> list[worker.Outcome]:
    """Submit what is neither done nor in the queue already, wait for all, and tell how each ended.

    jobs: how many runs at a time; None leaves it to the cluster, as it does what `asked` has not.
    asked: partition, time (minutes), gres, mem, constraint and cpus, in Slurm's words.
    An interrupt stops the waiting and leaves the jobs; the same command waits for them again.
    UsageError where submitit or Slurm is missing, or Slurm refuses the options.
    """
    if shutil.which("sbatch") is None or shutil.which("squeue") is None:
        raise UsageError(
            "there is no sbatch on PATH, which is the program of a login node of a Slurm cluster; run this "
            "there, or leave --launcher slurm out"
        )
    submitted = _submit(plans, rerun, demo, jobs, asked)
    started = time.monotonic()
    ended: dict[int, worker.Outcome] = {}
    try:
        while len(ended) < len(plans):
            for number, code, last in _over(submitted, ended):
                seconds = time.monotonic() - started
                ended[number] = worker.Outcome(plans[number], code, last, submitted[number].log, seconds)
                worker.report(number, plans, ended[number])
            if len(ended) < len(plans):
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        print(
            "the jobs go on without this command; `status` shows them, `cancel` stops them, and the same "
            "command waits for them again",
            file=sys.stderr,
        )
        raise
    return [ended[number] for number in range(len(plans))]


def _submit(
    plans: Sequence[RunPlan], rerun: str, demo: bool, jobs: int | None, asked: Mapping[str, Any]
) -> dict[int, Job]:
    """Number of each plan -> its job, a new one unless it is in the queue already."""
    if not plans:
        return {}
    out = plans[0].out
    states, known = queue.states(), queue.recorded(out)
    folders = [str(run_dir(plan).relative_to(out)) for plan in plans]
    submitted: dict[int, Job] = {}
    calls: dict[int, tuple[Any, ...]] = {}
    for number, (plan, folder) in enumerate(zip(plans, folders, strict=True)):
        if folder in known and known[folder].state(states) in queue.ACTIVE:
            submitted[number] = known[folder]
            worker.report(number, plans, f"is job {known[folder].name} of Slurm already")
            continue
        log = worker.log_file(plan)
        # A name of its own: Slurm's job numbers may begin again.
        end = log.with_name(f".{log.stem}.{uuid.uuid4().hex[:12]}.exit")
        calls[number] = (plan, rerun, demo, str(log), str(end))
    made = _array(out, list(calls.values()), jobs, asked) if calls else []
    for (number, (*_, log, end)), name in zip(calls.items(), made, strict=True):
        submitted[number] = Job(name, Path(log), Path(end))
        queue.record(out, folders[number], submitted[number])
        worker.report(number, plans, f"submitted as job {name}, log: {log}")
    return submitted


def _array(
    out: Path, calls: Sequence[tuple[Any, ...]], jobs: int | None, asked: Mapping[str, Any]
) -> list[str]:
    """Submit an array of jobs, a call of `Unit` each; returns their names."""
    try:
        import submitit
        from submitit.core.utils import FailedJobError
    except ImportError:
        raise UsageError(
            "--launcher slurm needs submitit, which is not installed: pip install submitit, or leave the "
            "option out"
        ) from None

    minutes = asked.get("time", MINUTES)
    executor = submitit.SlurmExecutor(folder=out / "slurm" / "jobs", max_num_timeout=MAX_TIMEOUTS)
    executor.update_parameters(
        job_name="superb",
        time=minutes,
        cpus_per_task=asked.get("cpus", CORES),
        array_parallelism=jobs or len(calls),
        signal_delay_s=min(SIGNAL_SECONDS, minutes * 30),
        additional_parameters={"requeue": True, "open_mode": "append"},
        **{name: value for name, value in asked.items() if name not in ("time", "cpus")},
    )
    try:
        return [str(job.job_id) for job in executor.map_array(Unit(), *map(list, zip(*calls, strict=True)))]
    except FailedJobError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UsageError(f"Slurm refused the jobs ({reason}); change the options --slurm-...") from None


def _over(jobs: Mapping[int, Job], ended: Mapping[int, Any]) -> Iterator[tuple[int, int, str]]:
    """Number, exit code and last words of each job that is over since the last look."""
    # Slurm is asked first: a job that ends between the two looks has left its file by the second.
    states = queue.states()
    for number, job in jobs.items():
        if number in ended:
            continue
        code = job.code()
        if code is None and states is not None and states.get(job.name, "") not in queue.ACTIVE:
            # A shared file system may show a file some seconds after it was written.
            time.sleep(POLL_SECONDS)
            code = job.code()
            if code is None:
                how = states.get(job.name, "no longer in the queue")
                last = f"job {job.name} was ended from outside ({how}); the same command goes on with it"
                yield number, FAILED, last
        if code is not None:
            yield number, code, worker.last_line(job.log)
