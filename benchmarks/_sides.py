"""The processes that `pipeline.py` compares: how each is started, given steps to do, and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upstream_arm.common.errors import RunFailed

CHILD = Path(__file__).with_name("_child.py")


@dataclass(frozen=True)
class Reply:
    """What a side measured since its last reply.

    steps: seconds of each optimizer step. upstream: seconds, audio (seconds), utterances and calls of the
    upstream's forward passes. shape: layers and features of its hidden states, empty if it did not run.
    since_built: seconds from the upstream's construction to this reply, without the waits for orders.
    peak_bytes, gpu_bytes: the highest so far, of the process (or its largest child) and on the GPU.
    """

    steps: tuple[float, ...]
    upstream: dict[str, float]
    shape: dict[str, int]
    since_built: float
    peak_bytes: int
    gpu_bytes: int

    @property
    def seconds(self) -> float:
        """Mean seconds of a step."""
        return sum(self.steps) / len(self.steps)


class Side:
    """A running command whose optimizer steps are done on order; a context manager that stops it."""

    def __init__(self, side: str, upstream: str, arguments: Sequence[str], log: Path, threads: int) -> None:
        self.name, self._log = side, log
        orders, mine = os.pipe()
        theirs, replies = os.pipe()
        command = [sys.executable, str(CHILD), str(orders), str(replies), side, upstream, *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                pass_fds=(orders, replies),
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd=log.parent,
            )
        os.close(orders)
        os.close(replies)
        self._orders = os.fdopen(mine, "w", encoding="utf-8")
        self._replies = os.fdopen(theirs, "r", encoding="utf-8")

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._orders, self._replies):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._process.terminate()
        self._process.wait()

    def do(self, steps: int) -> Reply:
        """Have it do so many steps; RunFailed if it ended instead."""
        reply = self._ask(f"{steps}\n")
        if len(reply.steps) < steps:
            raise self._failed(f"ended after {len(reply.steps)} of {steps} steps")
        return reply

    def to_the_end(self) -> Reply:
        """Let a command that trains nothing run to its end; RunFailed if it fails."""
        reply = self._ask("1\n")
        if self._process.wait() != 0:
            raise self._failed(f"ended with exit code {self._process.returncode}")
        return reply

    def _ask(self, order: str) -> Reply:
        try:
            self._orders.write(order)
            self._orders.flush()
        except BrokenPipeError:
            raise self._failed("has ended") from None
        line = self._replies.readline()
        if not line:
            raise self._failed("has ended")
        found: dict[str, Any] = json.loads(line)
        return Reply(**{**found, "steps": tuple(found["steps"])})

    def _failed(self, what: str) -> RunFailed:
        last = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-4:]
        return RunFailed(f"{self.name} {what}; the end of {self._log}: {' / '.join(last)}")
