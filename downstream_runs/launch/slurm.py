"""Runs as jobs of a Slurm cluster, through submitit: one array a command, each run a task of it.

A job that is preempted, or that is about to reach its time limit, puts itself back into the queue and goes
on from the run's last checkpoint. How a run ended is read from the files that it left and from `squeue`;
accounting (`sacct`) is not needed. The folder of runs must be one that all nodes share.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core import queue
from downstream_runs.launch import worker
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text

if TYPE_CHECKING:
    from downstream_runs.core.run import RunPlan

POLL_SECONDS = 5.0
SIGNAL_SECONDS = 120
"""How long before its time limit a job is told of it; Slurm may be up to a minute late."""
MAX_TIMEOUTS = 100
"""How often a job may reach its time limit: a run that no limit is long enough for must end some day."""
NOT_FOUND = "is the program of a login node of a Slurm cluster; run this there, or leave --launcher slurm out"


@dataclass(frozen=True)
class Options:
    """What Slurm is asked for, in its own words; None is left to the cluster. time: minutes.

    parallel: how many runs of the array at a time; None leaves it to the cluster.
    """

    partition: str | None = None
    time: int = 24 * 60
    gres: str | None = None
    mem: str | None = None
    constraint: str | None = None
    cpus: int = 4
    parallel: int | None = None


@dataclass(frozen=True)
class Job:
    """A job of Slurm: its name there, the run's log, and the file that its exit code goes to."""

    name: str
    log: Path
    end: Path

    def code(self) -> int | None:
        """Its exit code, if it has come to an end by itself."""
        try:
            return int(self.end.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


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


def run_all(plans: Sequence[RunPlan], *, rerun: str, demo: bool, options: Options) -> list[worker.Outcome]:
    """Submit what is neither done nor in the queue already, wait for all, and tell how each ended.

    An interrupt stops the waiting and leaves the jobs; the same command waits for them again.
    UsageError where submitit or Slurm is missing, or Slurm refuses the options.
    """
    queue.require_slurm(NOT_FOUND)
    jobs = _submit(plans, rerun, demo, options)
    started = time.monotonic()
    ended: dict[int, worker.Outcome] = {}
    try:
        while len(ended) < len(plans):
            for number, code, said in _over(jobs, ended):
                seconds = time.monotonic() - started
                ended[number] = worker.Outcome(plans[number], code, said, jobs[number].log, seconds)
                worker.report(number, plans, worker.ending(ended[number]))
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


def _submit(plans: Sequence[RunPlan], rerun: str, demo: bool, options: Options) -> dict[int, Job]:
    """Number of each plan -> its job."""
    if not plans:
        return {}
    out = plans[0].out
    states, known = queue.states(), queue.recorded(out)
    jobs: dict[int, Job] = {}
    for number, plan in enumerate(plans):
        record = known.get(_folder(plan))
        if record is not None and queue.state(record, states) in queue.ACTIVE:
            jobs[number] = Job(record["job"], Path(record["log"]), Path(record["end"]))
            worker.report(number, plans, f"is job {record['job']} of Slurm already")
    new = [number for number in range(len(plans)) if number not in jobs]
    found = _array(out, [plans[number] for number in new], rerun, demo, options) if new else []
    for number, job in zip(new, found, strict=True):
        jobs[number] = job
        queue.record(out, _folder(plans[number]), job.name, job.log, job.end)
        worker.report(number, plans, f"submitted as job {job.name}, log: {job.log}")
    return jobs


def _folder(plan: RunPlan) -> str:
    from downstream_runs.core.run import run_dir

    return str(run_dir(plan).relative_to(plan.out))


def _array(out: Path, plans: Sequence[RunPlan], rerun: str, demo: bool, options: Options) -> list[Job]:
    submitit = _submitit()
    from submitit.core.utils import FailedJobError

    asked = {"partition": options.partition, "gres": options.gres, "mem": options.mem}
    asked["constraint"] = options.constraint
    executor = submitit.SlurmExecutor(folder=out / "slurm" / "jobs", max_num_timeout=MAX_TIMEOUTS)
    executor.update_parameters(
        job_name="superb",
        time=options.time,
        cpus_per_task=options.cpus,
        array_parallelism=options.parallel or len(plans),
        signal_delay_s=min(SIGNAL_SECONDS, options.time * 30),
        additional_parameters={"requeue": True, "open_mode": "append"},
        **{name: value for name, value in asked.items() if value is not None},
    )
    logs = [worker.log_file(plan) for plan in plans]
    # A name of its own: Slurm's job numbers may begin again.
    ends = [log.with_name(f".{log.stem}.{uuid.uuid4().hex[:12]}.exit") for log in logs]
    calls = [
        (plan, rerun, demo, str(log), str(end)) for plan, log, end in zip(plans, logs, ends, strict=True)
    ]
    try:
        found = executor.map_array(Unit(), *map(list, zip(*calls, strict=True)))
    except FailedJobError as error:
        said = str(error).strip().splitlines()[-1]
        raise UsageError(f"Slurm refused the jobs ({said}); change the options --slurm-...") from None
    return [Job(str(job.job_id), log, end) for job, log, end in zip(found, logs, ends, strict=True)]


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise UsageError(
            "--launcher slurm needs submitit, which is not installed: pip install submitit, or leave the "
            "option out"
        ) from None
    return submitit


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
                said = f"job {job.name} was ended from outside ({how}); the same command goes on with it"
                yield number, worker.FAILED, said
        if code is not None:
            yield number, code, worker.last_line(job.log)
