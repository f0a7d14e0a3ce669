"""Data-parallel training: one run on N processes of one machine, each with a device of its own.

What s3prl 0.4.18 does, and what is done here (its downstream/runner.py, run_downstream.py and experts):

- Featurizer and downstream are each wrapped in torch's DistributedDataParallel, the frozen upstream is not.
  Gradients are means over the ranks, after every backward pass, also where gradients are accumulated.
- All nine experts that train take a distributed sampler as soon as torch.distributed is initialised, so no
  order of ours is needed and the numbers are those of s3prl's own distributed runs. Each rank reads 1/N of an
  epoch in batches of the recipe's size; the order follows from the epoch, not from the run's seed, and some
  items come twice where N does not divide their number. KS deals out a weighted draw in the same way.
- Every rank begins with the run's seed. Rank 0 alone logs, evaluates (which seeds its generators again),
  saves and tests, each time while the others wait for it in their next exchange of gradients.
- Neither the learning rate nor `gradient_accumulate_steps` is changed, so that a step has N times as many
  utterances. s3prl's README has its users divide gradient_accumulate_steps by N to keep the recipe's batch.

What differs: s3prl broadcasts rank 0's buffers before every pass. That changes none of rank 0's numbers, and
after an evaluation its experts hold `best_score` on the CPU, which NCCL cannot send; here buffers stay apart.
The random states of all ranks are in each checkpoint, and the end of one rank ends the run.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from upstream_arm.common import processes
from upstream_arm.common.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from downstream_runs.core.task import PreparedData
    from downstream_runs.engine.parts import Parts
    from downstream_runs.engine.plan import RunPlan

T = TypeVar("T")

START_METHOD = "spawn"  # a fork would share CUDA and threads with this process
POLL_SECONDS = 0.2
GRACE_SECONDS = 3.0
"""How long others may say what is wrong after one has broken: the first to notice is seldom the cause."""

EVALUATION_TIME = timedelta(days=7)
"""Waiting ranks give up after this; one that died is noticed by the process that started it, and at once."""


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that train one run; `Ranks()` is that of a run on one device."""

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
            self._meet()
        yield
        if self.leader:
            self._meet()

    def share(self, value: T) -> T:
        """The leader's value, on every rank."""
        if self.count == 1:
            return value
        import torch
        import torch.distributed

        box = [value]
        torch.distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def gather(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """What a checkpoint holds of all ranks: `{"ranks": [...]}` on the leader of several, else nothing."""
        if self.count == 1:
            return {}
        import torch.distributed

        found: list[Any] | None = [None] * self.count if self.leader else None
        torch.distributed.gather_object(dict(own), found, dst=0)
        return {} if found is None else {"ranks": found}

    def own(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """A checkpoint's state with this rank's own in the place of the leader's."""
        return state if self.count == 1 else {**state, **state["ranks"][self.rank]}

    def deal(self, loader: Any, epoch: int) -> Any:
        """The loader, its sampler told the epoch, as s3prl's runner does before it reads one."""
        if self.count > 1:
            loader.sampler.set_epoch(epoch)
        return loader

    def wrap(self, parts: Parts) -> Parts:
        """The parts to train with: the same parameters, whose gradients are averaged over the ranks."""
        if self.count == 1:
            return parts
        from torch.nn.parallel import DistributedDataParallel

        def wrapped(module: Any) -> Any:
            if not any(parameter.requires_grad for parameter in module.parameters()):
                return module  # FBANK's featurizer has one layer and nothing to weigh
            # Without device_ids nothing that a pass is given is copied: the experts write into `records`.
            return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=True)

        featurizer = wrapped(parts.featurizer)
        for name in ("output_dim", "downsample_rate"):
            setattr(featurizer, name, getattr(parts.featurizer, name))
        return dataclasses.replace(parts, featurizer=featurizer, downstream=wrapped(parts.downstream))

    def _meet(self) -> None:
        if self.count > 1:
            import torch
            import torch.distributed

            # A tensor on the CPU goes by gloo; NCCL's own barrier would keep a GPU busy.
            torch.distributed.all_reduce(torch.zeros(1))


ALONE = Ranks()
Work = Callable[["RunPlan", Mapping[str, Any], "PreparedData", Path, Ranks], None]


def check(plan: RunPlan) -> None:
    """UsageError if the plan asks for several devices that there are not, or that cannot be used."""
    if plan.devices == 1:
        return
    if plan.task.train_split is None:
        raise UsageError(
            f"--devices {plan.devices} is for training, and {plan.task.name} trains nothing; leave it out"
        )
    if ":" in plan.device:
        raise UsageError(
            f"--devices {plan.devices} takes the first CUDA devices and --device {plan.device} names one; "
            "use --device cuda, and CUDA_VISIBLE_DEVICES to choose among them"
        )
    if plan.device == "cpu":
        return
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count < plan.devices:
        raise UsageError(
            f"--devices {plan.devices} needs as many CUDA devices and torch sees {count}; ask for fewer, or "
            "add --device cpu for as many processes on the CPU"
        )


def deviations(plan: RunPlan, config: Mapping[str, Any]) -> tuple[str, ...]:
    """What several devices change, in a sentence, if the plan has several."""
    if plan.devices == 1:
        return ()
    recipe = plan.task.recipes[plan.recipe].config["runner"]["gradient_accumulate_steps"]
    batches = plan.devices * config["runner"]["gradient_accumulate_steps"]
    size = "as many as" if batches == recipe else f"{batches / recipe:g} times as many as"
    return (
        f"trained data-parallel on {plan.devices} devices as s3prl's distributed runs are: a step has "
        f"{batches} of the recipe's batches, {size} in the recipe",
    )


def train(work: Work, plan: RunPlan, config: Mapping[str, Any], data: PreparedData, folder: Path) -> None:
    """Have `plan.devices` processes do `work`, the leader in `folder`; returns when all have.

    A rank's own error is raised again here; RunFailed if one dies. However this ends, no rank is left.
    """
    context = multiprocessing.get_context(START_METHOD)
    # Ranks other than the first have a folder for what s3prl's experts write wherever they are.
    with tempfile.TemporaryDirectory(prefix=".ranks-", suffix=".tmp", dir=folder) as scratch:
        seats: list[_Seat] = []
        try:
            for rank in range(plan.devices):
                link, theirs = context.Pipe()
                ranks = Ranks(rank, plan.devices)
                process: Any = context.Process(  # type: ignore[attr-defined]
                    target=_rank_main,
                    args=(work, plan, folder, ranks, Path(scratch), theirs, os.getpid()),
                )
                process.start()
                theirs.close()
                seats.append(_Seat(ranks, process, link))
            for seat in seats:
                # Not among the arguments: `start` waits for ever for one that ends before it has read them
                # all, since it holds that pipe's other end too. Here the pipe breaks, and `_wait` says why.
                with contextlib.suppress(OSError):
                    seat.link.send((config, data))
            _wait(seats)
        finally:
            for seat in seats:
                seat.process.kill()
                seat.process.join()


@dataclass(frozen=True)
class _Word:
    """The last thing that a rank says. weight: of several, the lightest is the likeliest cause."""

    error: Exception | None = None
    trace: str = ""
    weight: int = 0


_SAID, _DIED, _BROKE = 0, 1, 2


@dataclass(frozen=True)
class _Seat:
    ranks: Ranks
    process: Any
    link: Any

    def word(self) -> _Word | None:
        """What the rank said last, or that it ended without a word; None while it works."""
        code = self.process.exitcode  # asked first: a rank speaks before it ends
        with contextlib.suppress(EOFError, OSError):
            if self.link.poll():
                said: _Word = self.link.recv()
                return said
        if code is None:
            return None
        how = processes.how_it_ended(code)
        sentence = (
            f"process {self.ranks.rank + 1} of {self.ranks.count} {how}, and the run ended with it; "
            "start the same command again, it goes on from its last checkpoint"
        )
        return _Word(RunFailed(sentence), weight=_DIED)


def _wait(seats: Sequence[_Seat]) -> None:
    """Return when all ranks are done; raise what is wrong with the first that is not well."""
    waiting, problems, deadline = list(seats), list[_Word](), math.inf
    while waiting and time.monotonic() < deadline:
        connection.wait([seat.link for seat in waiting], POLL_SECONDS)
        for seat in list(waiting):
            word = seat.word()
            if word is None:
                continue
            waiting.remove(seat)
            if word.error is not None:
                problems.append(word)
                grace = 0.0 if word.weight == _SAID else GRACE_SECONDS
                deadline = min(deadline, time.monotonic() + grace)
    if problems:
        cause = min(problems, key=lambda word: word.weight)
        if cause.trace:
            print(cause.trace, end="", file=sys.stderr)
        assert cause.error is not None
        raise cause.error


def _rank_main(
    work: Work,
    plan: RunPlan,
    folder: Path,
    ranks: Ranks,
    scratch: Path,
    link: Any,
    parent: int,
) -> None:
    """The whole life of one rank: it reads configuration and data from `link`, works, sends its last word
    back, and waits to be killed.

    It does not leave torch.distributed: the end of a process group waits for gloo's thread with Python's lock
    held, and that thread may want the lock to let go of a tensor (seen with torch 2.11).
    """
    processes.die_with(parent, signal.SIGKILL)
    # A terminal and a batch system signal every process of a run; the one that started the ranks ends them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    config, data = link.recv()
    link.send(_last_word(work, plan, config, data, folder, ranks, scratch))
    while True:
        signal.pause()


def _last_word(
    work: Work,
    plan: RunPlan,
    config: Mapping[str, Any],
    data: PreparedData,
    folder: Path,
    ranks: Ranks,
    scratch: Path,
) -> _Word:
    from tqdm import tqdm

    from upstream_arm.common.errors import ReportError, UpstreamError

    # The default has a lock for several processes, which Python calls leaked when its owner is killed.
    tqdm.set_lock(threading.RLock())
    try:
        if not ranks.leader:
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the end)
            folder = scratch / f"rank-{ranks.rank}"
            folder.mkdir()
        work(_join(plan, ranks, scratch / "store"), config, data, folder, ranks)
    except (UsageError, RunFailed, UpstreamError, ReportError, OSError) as error:
        return _Word(error, weight=_SAID)
    except BaseException as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        sentence = f"process {ranks.rank + 1} of {ranks.count} stopped with {reason}"
        return _Word(RunFailed(sentence), traceback.format_exc(), _BROKE)
    return _Word()


def _join(plan: RunPlan, ranks: Ranks, store: Path) -> RunPlan:
    """Become one of the ranks of torch.distributed; returns the plan on this rank's device."""
    # On stderr every rank would be warned that no parameter is unused, which is how it should be.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    import torch
    import torch.distributed

    # A file is met by this user's processes only; a port would be open to the network.
    loopback = {"lo", "lo0"}.intersection(name for _, name in socket.if_nameindex())
    if loopback:  # Linux calls it lo, macOS lo0
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback.pop())
    if plan.device == "cpu":
        device, backend = "cpu", "gloo"
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(processes.cores() // ranks.count, 1))
    else:
        device, backend = f"cuda:{ranks.rank}", "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(ranks.rank)
    torch.distributed.init_process_group(
        backend,
        store=torch.distributed.FileStore(str(store), ranks.count),
        rank=ranks.rank,
        world_size=ranks.count,
        timeout=EVALUATION_TIME,
    )
    return dataclasses.replace(plan, device=device)
