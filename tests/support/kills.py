"""Kills a run at chosen and at random moments until it is done: `python kills.py CORPUS OUT`.

Every attempt is a fork of a process that has imported everything, so that an attempt takes a second or two.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import noise
import torch
import toy

from downstream_runs.core import records
from downstream_runs.engine import checkpoints, components, partial_evaluation, run, train
from downstream_runs.engine.trained_run import TrainedRun

DIE = signal.SIGKILL


def die() -> None:
    os.kill(os.getpid(), DIE)


def nth_call(
    owner: Any, name: str, number: int, first: Callable[..., Any] | None = None
) -> Callable[[], None]:
    """A saboteur: the `number`-th call of `owner.name` dies, after `first` was called with its arguments."""

    def sabotage() -> None:
        real, calls = getattr(owner, name), [0]

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            calls[0] += 1
            if calls[0] == number:
                if first is not None:
                    first(*args, **kwargs)
                die()
            return real(*args, **kwargs)

        setattr(owner, name, wrapped)

    return sabotage


def half_of_file(path: Path, data: bytes) -> None:
    path.with_name(f".{path.name}.half.tmp").write_bytes(data[: len(data) // 2])


def half_of_text(path: Path, text: str) -> None:
    half_of_file(path, text.encode())


def half_of_line(journal: records.Journal, name: str, line: dict[str, Any]) -> None:
    with (journal.folder / name).open("a") as file:
        file.write('{"split": "train", "ste')


def in_test_split() -> None:
    """Die in the evaluation of the test split."""
    real = TrainedRun.evaluate

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if "test-clean" in args:
            nth_call(components.Components, "features", 2)()
        return real(*args, **kwargs)

    TrainedRun.evaluate = wrapped


def at_result() -> None:
    from downstream_runs.core import results

    nth_call(results, "atomic_write_text", 1, half_of_text)()


MOMENTS: list[tuple[str, Callable[[], None]]] = [
    ("before the first checkpoint", nth_call(train.Trainer, "update", 2)),
    ("between two halves of a step", nth_call(train.Trainer, "_backward", 6)),
    ("in the middle of a checkpoint", nth_call(checkpoints, "atomic_write_bytes", 1, half_of_file)),
    ("in the first evaluation", nth_call(components.Components, "features", 12)),
    ("between best and checkpoint", nth_call(checkpoints.Checkpoints, "save", 1)),
    ("in a journal line", nth_call(records.Journal, "_append", 5, half_of_line)),
    ("after a later checkpoint", nth_call(train.Trainer, "update", 2)),
    ("in the test", in_test_split),
    ("before the result has its name", at_result),
]


def attempt(plan: Any, sabotage: Callable[[], None] | None, delay: float | None = None) -> int:
    """Run in a fork; returns its wait status: 0, or the signal that killed it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if sabotage is not None:
                sabotage()
            run(plan)
            code = 0
        finally:
            os._exit(code)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, DIE)
    return os.waitpid(child, 0)[1]


def main(corpus: str, out: str) -> None:
    torch.set_num_threads(1)
    toy.register()
    partial_evaluation.EVERY_SECONDS = 0.0
    # What a fork must not do: import for seconds.
    import s3prl.downstream.asr.expert
    import s3prl.downstream.specaug  # noqa: F401

    plans = [
        noise.tiny_plan(Path(corpus), Path(out, name), upstream="toy", runner=noise.KILL_STEPS)
        for name in ("chosen", "random")
    ]
    for name, sabotage in MOMENTS:
        assert attempt(plans[0], sabotage) == DIE, f"was not killed {name}"
    random.seed(5)
    for _ in range(5):
        print(attempt(plans[1], None, random.uniform(0.2, 0.5)))
    for plan in plans:
        assert attempt(plan, None) == 0, "did not finish"


if __name__ == "__main__":
    main(*sys.argv[1:])
