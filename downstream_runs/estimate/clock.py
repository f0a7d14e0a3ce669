"""Seconds of calls as on a machine that does nothing else, and how busy the machine was."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from downstream_runs.upstreams.efficiency import timed
from upstream_arm.common.processes import cores

LEAST_SHARE = 0.9
"""Of the time for which a measurement should have had its core."""
REPEATS = 5
"""Calls on an accelerator that are measured."""
OTHERS_SHARE = 0.1
"""Of the cores that it computes on, how many other programs may want."""


@dataclass(frozen=True)
class Busy:
    """How busy the machine was while it was measured.

    load: the load average of the minute before; None where the system tells none. cores: that this process
    may use. threads: on which it computes. share: its CPU time over the wall time of the measured calls; None
    on an accelerator, for which the CPU waits.
    """

    load: float | None
    cores: int
    threads: int
    share: float | None

    def words(self) -> str:
        """What was seen, in a line."""
        load = "unknown load" if self.load is None else f"load average {self.load:.1f} before it"
        if self.share is None:
            return f"{load} on {self.cores} cores; hours are from wall time"
        return (
            f"{load} on {self.cores} cores; measured calls took {self.share:.0%} of their wall time in CPU "
            "time, from which the hours are"
        )

    def doubt(self) -> str | None:
        """Why the hours are doubtful; None where nothing says so."""
        free = self.cores - self.threads + OTHERS_SHARE * self.threads
        if self.share is not None and self.share < LEAST_SHARE:
            return f"its calls had a core for {self.share:.0%} of their time"
        if self.load is not None and self.load > free:
            return f"other programs wanted {self.load:.1f} of {self.cores} cores"
        return None


class Clock:
    """Measures calls on a device; created when the measurement begins."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        self._wall = self._cpu = 0.0

    def seconds(self, function: Callable[[], Any]) -> float:
        """Of one call.

        On a CPU these are the calling thread's CPU seconds, which other programs do not lengthen: torch has
        the calling thread do its share of every operation and of every gradient. On an accelerator they are
        the median of some calls after one that chooses kernels and takes memory, and lasts longer: by first
        calls the training of PR's head was to take 7.4 hours of an H100, by these 1.5.
        """
        if self.device.type != "cpu":
            function()
            return statistics.median(timed(function, self.device) for _ in range(REPEATS))
        began = time.thread_time()
        wall = timed(function, self.device)
        cpu = time.thread_time() - began
        self._wall += wall
        self._cpu += cpu
        return cpu

    def busy(self) -> Busy:
        """How busy the machine was during the calls so far."""
        share = self._cpu / self._wall if self._wall else None
        return Busy(self._load, cores(), torch.get_num_threads(), share)
