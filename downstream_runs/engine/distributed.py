"""Data-parallel training: one run on N processes of one machine, the workers, each with a device of its own.

As s3prl 0.4.18 does it (its downstream/runner.py, run_downstream.py and experts):

- Featurizer and downstream are each wrapped in torch's DistributedDataParallel, the frozen upstream is not.
  Gradients are means over the workers, after every backward pass, also where gradients are accumulated.
- All nine experts that train take a distributed sampler as soon as torch.distributed is initialised. Each
  worker reads 1/N of an epoch in batches of the recipe's size; the order follows from the epoch, not from the
  run's seed, and some items come twice where N does not divide their number.
- Every worker begins with the run's seed. Worker 0 alone logs, evaluates (which seeds its generators again),
  saves and tests, each time while the others wait for it in their next exchange of gradients.
- Neither the learning rate nor `gradient_accumulate_steps` is changed, so that a step has N times as many
  utterances. s3prl's README has its users divide gradient_accumulate_steps by N to keep the recipe's batch.

What differs: s3prl broadcasts worker 0's buffers before every pass. That changes none of worker 0's numbers,
and after an evaluation its experts hold `best_score` on the CPU, which NCCL cannot send; here buffers stay
apart. The random states of all workers are in each checkpoint, and the end of one worker ends the run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import connection, resource_tracker
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed
from tqdm import tqdm

from downstream_runs.core.corpus import PreparedData
from downstream_runs.core.run import RunPlan
from downstream_runs.engine.components import Components
from upstream_arm.common import devices, processes
from upstream_arm.common.errors import RunFailed, SuperbError, UsageError

T = TypeVar("T")

START_METHOD = "spawn"  # a fork would share accelerators and threads with this process
GRACE_SECONDS = 3.0
"""How long others may report after one has broken: the first to notice is seldom the cause."""

EVALUATION_TIME = timedelta(days=7)
"""Waiting workers give up after this; of one that dies the process that started it knows at once."""


@dataclass(frozen=True)
class DistributedContext:
    """This process's place among the workers that train one run; by default it is the only one."""

    rank: int = 0
    count: int = 1

    @property
    def leader(self) -> bool:
        """Whether this process logs, evaluates, saves and tests."""
        return self.rank == 0

    @contextlib.contextmanager
    def leader_first(self) -> Iterator[None]:
        """The leader goes through the block before the others: what it downloads or makes is then there."""
        if not self.leader:
            self._barrier()
        yield
        if self.leader:
            self._barrier()

    def _barrier(self) -> None:
        if self.count > 1:
            # A tensor on the CPU goes by gloo; NCCL's own barrier would keep a GPU busy.
            torch.distributed.all_reduce(torch.zeros(1))

    def broadcast(self, value: T) -> T:
        """The leader's value, on every worker."""
        if self.count == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def gather(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """What a checkpoint holds of all workers: `{"ranks": [...]}` on the leader of several, else {}."""
        if self.count == 1:
            return {}
        everyone: list[Any] | None = [None] * self.count if self.leader else None
        torch.distributed.gather_object(dict(own), everyone, dst=0)
        return {} if everyone is None else {"ranks": everyone}

    def own_state(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """A checkpoint's state with this worker's own in the place of the leader's."""
        return state if self.count == 1 else {**state, **state["ranks"][self.rank]}

    def set_epoch(self, loader: Any, epoch: int) -> None:
        """Tell a loader's sampler the epoch, as s3prl's runner does before it reads one."""
        if self.count > 1:
            loader.sampler.set_epoch(epoch)

    def wrap(self, components: Components) -> Components:
        """The same parameters, in modules that average their gradients over the workers."""
        if self.count == 1:
            return components
        from torch.nn.parallel import DistributedDataParallel

        def wrapped(module: Any) -> Any:
            if not any(parameter.requires_grad for parameter in module.parameters()):
                return module  # FBANK's featurizer has one layer and nothing to weigh
            # Without device_ids nothing that a pass is given is copied: the experts write into `records`.
            return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=True)

        featurizer = wrapped(components.featurizer)
        for name in ("output_dim", "downsample_rate"):
            setattr(featurizer, name, getattr(components.featurizer, name))
        return dataclasses.replace(
            components, featurizer=featurizer, downstream=wrapped(components.downstream)
        )


ALONE = DistributedContext()
Work = Callable[[RunPlan, Mapping[str, Any], PreparedData, Path, DistributedContext], None]


def check(plan: RunPlan) -> None:
    """UsageError if the plan asks for a device or several that there are not, or that cannot be used."""
    if plan.devices == 1:
        devices.pick(plan.device)
        return
    if plan.task.train_split is None:
        raise UsageError(
            f"--devices {plan.devices} is for training, and {plan.task.name} trains nothing; leave it out"
        )
    kind, _, number = plan.device.partition(":")
    if number:
        chosen = f", and {devices.VISIBLE[kind]} to choose among them" if kind in devices.VISIBLE else ""
        raise UsageError(
            f"--devices {plan.devices} takes the first devices and --device {plan.device} names one; use "
            f"--device {kind}{chosen}"
        )
    if plan.device == "cpu":
        return
    count = devices.count(None if kind == "auto" else kind)
    if count < plan.devices:
        what = "accelerators" if kind == "auto" else f"{kind} devices"
        raise UsageError(
            f"--devices {plan.devices} needs as many {what} and torch sees {count}; ask for fewer, or add "
            "--device cpu for as many processes on the CPU"
        )


def train(work: Work, plan: RunPlan, config: Mapping[str, Any], data: PreparedData, folder: Path) -> None:
    """Have `plan.devices` processes do `work`, the leader in `folder`; returns when all have.

    A worker's own error is raised again here; RunFailed if one dies. However this ends, no worker is left.
    torch.multiprocessing's own start gives the text of an error and not the error, and takes the first
    process to end for the cause, which is often one that only lost its peer.
    """
    # On stderr every worker would be warned that no parameter is unused, which is how it should be.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    starting: Any = multiprocessing.get_context(START_METHOD)
    resource_tracker.ensure_running()  # it takes the signals' mask back, so not between the two below
    # Workers other than the first have a folder for what s3prl's experts write wherever they are.
    with tempfile.TemporaryDirectory(prefix=".workers-", suffix=".tmp", dir=folder) as scratch:
        workers: dict[Any, Any] = {}
        try:
            for rank in range(plan.devices):
                pipe, theirs = starting.Pipe()
                context = DistributedContext(rank, plan.devices)
                arguments = (work, plan, folder, context, Path(scratch), theirs, os.getpid())
                process = starting.Process(target=_worker_main, args=arguments)
                # A terminal and a batch system signal every process of a run; this one ends the workers.
                before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
                try:
                    process.start()
                    workers[pipe] = process
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
                theirs.close()
            for pipe in workers:
                # Not among the arguments: `start` waits for ever for one that ends before it has read them
                # all, since it holds that pipe's other end too. Here the pipe breaks, and `_wait` says why.
                with contextlib.suppress(OSError):
                    pipe.send((config, data))
            _wait(workers)
        finally:
            for process in workers.values():
                process.kill()
                process.join()


@dataclass(frozen=True)
class _Report:
    """How a worker's work ended. doubt: of several errors, the least doubtful is the likeliest cause."""

    error: Exception | None = None
    trace: str = ""
    doubt: int = 0


_TOLD, _DIED, _BROKE = 0, 1, 2


def _wait(workers: Mapping[Any, Any]) -> None:
    """Return when all workers (pipe -> process) are done; raise the likeliest cause if one is not well."""
    waiting: list[Any] = list(workers)
    failures, deadline = list[_Report](), math.inf
    while waiting and time.monotonic() < deadline:
        left = None if math.isinf(deadline) else deadline - time.monotonic()
        ready: list[Any] = connection.wait(waiting, left)
        for pipe in ready:
            waiting.remove(pipe)
            try:
                report: _Report = pipe.recv()
            except (EOFError, OSError):  # it ended without a report
                workers[pipe].join()
                how = processes.how_it_ended(workers[pipe].exitcode)
                number = list(workers).index(pipe) + 1
                sentence = (
                    f"process {number} of {len(workers)} {how}, and the run ended with it; start the same "
                    "command again, it goes on from its last checkpoint"
                )
                report = _Report(RunFailed(sentence), doubt=_DIED)
            if report.error is not None:
                failures.append(report)
                grace = 0.0 if report.doubt == _TOLD else GRACE_SECONDS
                deadline = min(deadline, time.monotonic() + grace)
    if failures:
        cause = min(failures, key=lambda report: report.doubt)
        print(cause.trace, end="", file=sys.stderr)
        assert cause.error is not None
        raise cause.error


def _worker_main(
    work: Work,
    plan: RunPlan,
    folder: Path,
    context: DistributedContext,
    scratch: Path,
    pipe: Any,
    parent: int,
) -> None:
    """The whole life of one worker: it reads configuration and data from `pipe`, works, sends its report
    back, and waits to be killed.

    It does not leave torch.distributed: the end of a process group waits for gloo's thread with Python's lock
    held, and that thread may want the lock to let go of a tensor (seen with torch 2.11).
    """
    processes.die_with(parent, signal.SIGKILL)
    # The default has a lock for several processes, which Python calls leaked when its owner is killed.
    tqdm.set_lock(threading.RLock())
    config, data = pipe.recv()
    report = _Report()
    try:
        if not context.leader:
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the end)
            folder = scratch / f"worker-{context.rank}"
            folder.mkdir()
        work(_join(plan, context, scratch / "store"), config, data, folder, context)
    except (SuperbError, OSError) as error:
        report = _Report(error, doubt=_TOLD)
    except BaseException as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        sentence = f"process {context.rank + 1} of {context.count} stopped with {reason}"
        report = _Report(RunFailed(sentence), traceback.format_exc(), _BROKE)
    pipe.send(report)
    while True:
        signal.pause()


def _join(plan: RunPlan, context: DistributedContext, store: Path) -> RunPlan:
    """Become one of the workers of torch.distributed; returns the plan on this worker's device."""
    # A file is met by this user's processes only; a port would be open to the network.
    loopback = {"lo", "lo0"}.intersection(name for _, name in socket.if_nameindex())
    if loopback:  # Linux calls it lo, macOS lo0
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback.pop())
    if plan.device == "cpu":
        device, backend = "cpu", "gloo"
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(processes.cores() // context.count, 1))
    else:
        kind = devices.pick(plan.device).type
        device, backend = f"{kind}:{context.rank}", f"cpu:gloo,{kind}:{devices.backend(kind)}"
        torch.accelerator.set_device_index(context.rank)
    torch.distributed.init_process_group(
        backend,
        store=torch.distributed.FileStore(str(store), context.count),
        rank=context.rank,
        world_size=context.count,
        timeout=EVALUATION_TIME,
    )
    return dataclasses.replace(plan, device=device)
