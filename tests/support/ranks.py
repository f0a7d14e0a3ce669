"""Trains on two processes, disturbed and not: `python ranks.py CORPUS OUT`.

Every attempt is a fork of a process that has imported everything, and so is every rank.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import noise
import torch
import toy

from downstream_runs.engine import batches, distributed, result_builder, run, train
from downstream_runs.engine.distributed import DistributedContext
from downstream_runs.engine.trained_run import TrainedRun
from upstream_arm.common.errors import RunFailed

COUNT = 2
END_SECONDS = 2.0


def count_pids(pids: Path) -> None:
    """Every rank of later attempts leaves its process number in `pids`."""
    real = distributed._join

    def join(plan: Any, context: DistributedContext, store: Path) -> Any:
        with pids.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return real(plan, context, store)

    distributed._join = join


def dies(rank: int, owner: Any, name: str, number: int, victim: Callable[[], int]) -> Callable[[], None]:
    """A saboteur: at the `number`-th call of `owner.name` in that rank, the process `victim` is killed."""

    def sabotage() -> None:
        real, calls = getattr(owner, name), [0]

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if torch.distributed.is_initialized() and torch.distributed.get_rank() != rank:
                return real(*args, **kwargs)
            calls[0] += 1
            if calls[0] == number:
                os.kill(victim(), signal.SIGKILL)
                time.sleep(60)  # of a killed parent the children die a moment later
            return real(*args, **kwargs)

        setattr(owner, name, wrapped)

    return sabotage


ITSELF, PARENT = os.getpid, os.getppid
MOMENTS: list[tuple[str, Callable[[], None], Callable[[], int]]] = [
    ("rank 1 before the first checkpoint", dies(1, train.Trainer, "update", 2, ITSELF), ITSELF),
    ("rank 0 in its first evaluation", dies(0, TrainedRun, "evaluate", 1, ITSELF), ITSELF),
    ("the parent between two halves of a step", dies(1, train.Trainer, "_backward", 3, PARENT), PARENT),
    (
        "rank 1 in a checkpoint",
        dies(1, DistributedContext, "gather", 2, ITSELF),
        ITSELF,
    ),
    ("the parent in the test", dies(0, result_builder, "best_on_dev", 1, PARENT), PARENT),
]


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for is over too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def attempt(plan: Any, pids: Path, sabotage: Callable[[], None] | None = None) -> tuple[int, str]:
    """Run in a fork; its wait status and what it said. No rank of it is left."""
    pids.unlink(missing_ok=True)
    said = pids.with_suffix(".said")
    said.write_text("")
    child = os.fork()
    if child == 0:
        try:
            if sabotage is not None:
                sabotage()
            run(plan)
            os._exit(0)
        except RunFailed as error:
            said.write_text(str(error))
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    deadline = time.monotonic() + END_SECONDS
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == plan.devices
    while any(map(alive, started)):
        assert time.monotonic() < deadline, f"of {started} some are left"
        time.sleep(0.05)
    return status, said.read_text()


def killed(plan: Any, pids: Path) -> None:
    """Kill one process of a run after the other, and let it finish."""
    for name, sabotage, victim in MOMENTS:
        status, said = attempt(plan, pids, sabotage)
        if victim is PARENT:
            assert status == signal.SIGKILL, f"was not killed: {name}"
        else:
            assert os.waitstatus_to_exitcode(status) == 1, name
            assert "was killed by signal 9, perhaps for want of memory" in said, (name, said)
    assert attempt(plan, pids)[0] == 0


def gradients(corpus: Path, out: Path, devices: int) -> None:
    """One step without any randomness, on `devices` processes or with their batches one after the other."""
    config = noise.tiny_config(total_steps=1, gradient_accumulate_steps=COUNT // devices)
    del config["specaug"]
    config["downstream_expert"]["modelrc"]["RNNs"]["dropout"] = [0.0]
    plan = noise.tiny_plan(corpus, out / f"step-{devices}", upstream="toy", config=config, devices=devices)
    update = train.Trainer.update

    def kept(self: train.Trainer) -> None:
        if self.context.leader:
            torch.save(
                [parameter.grad.clone() for parameter in self.optimization.parameters],
                out / f"grad-{devices}.pt",
            )
        update(self)

    def shares(loader: Any) -> list[list[int]]:
        """An epoch of all ranks, a batch of each in turn."""
        dealt = [
            list(torch.utils.data.DistributedSampler(loader.dataset, COUNT, rank)) for rank in range(COUNT)
        ]
        return [[item] for items in zip(*dealt, strict=True) for item in items]

    def sabotage() -> None:
        train.Trainer.update = kept
        if devices == 1:
            train.batches = SimpleNamespace(**{**vars(batches), "draw": shares})

    child = os.fork()
    if child == 0:
        try:
            sabotage()
            run(plan)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def main(corpus: str, out: str) -> None:
    torch.set_num_threads(1)
    toy.register()
    distributed.START_METHOD = "fork"
    # What a fork must not do: import for seconds.
    import s3prl.downstream.asr.expert
    import s3prl.downstream.specaug  # noqa: F401

    pids = Path(out, "pids")
    for devices in (1, COUNT):
        gradients(Path(corpus), Path(out), devices)
    count_pids(pids)
    calm, disturbed = (
        noise.tiny_plan(Path(corpus), Path(out, name), upstream="toy", runner=noise.KILL_STEPS, devices=COUNT)
        for name in ("calm", "killed")
    )
    assert attempt(calm, pids)[0] == 0
    killed(disturbed, pids)


if __name__ == "__main__":
    main(*sys.argv[1:])
