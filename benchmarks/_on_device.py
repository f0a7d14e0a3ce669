"""The names of `tests/support/rehearsal.py` for a real CUDA device: what torch's profiler saw of its driver.

Kernels hold what fills and copies memory on the device. Waits are the calls in which the host waits for the
device, those for copies out among them.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

DEVICE = torch.device("cuda", 0)
SYNCHRONIZE = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


@dataclass
class Counts:
    """Each by the name that the profiler has for it, and how often."""

    kernels: Counter[str] = field(default_factory=Counter)
    copies_in: Counter[str] = field(default_factory=Counter)
    copies_out: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)

    def add(self, others: Counts) -> None:
        """Count what others have, too."""
        for name, counter in vars(others).items():
            getattr(self, name).update(counter)

    def row(self) -> tuple[int, int, int, int]:
        """How many kernels, copies in, copies out and waits."""
        kernels, copies_in, copies_out, waits = (sum(each.values()) for each in vars(self).values())
        return kernels, copies_in, copies_out, waits


@dataclass
class _Block:
    counts: Counts = field(default_factory=Counts)
    profiler: Any = None


_open: list[_Block] = []
"""Blocks within blocks; the last one is profiled."""


@contextlib.contextmanager
def counting() -> Iterator[Counts]:
    """Count what happens in the block; what is counted in a block within it is not."""
    if _open:
        _end(_open[-1])
    one = _Block()
    _begin(one)
    _open.append(one)
    try:
        yield one.counts
    finally:
        _end(_open.pop())
        if _open:
            _begin(_open[-1])


def _begin(block: _Block) -> None:
    torch.cuda.synchronize()
    block.profiler = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
    block.profiler.start()


def _end(block: _Block) -> None:
    """Stop, which waits for the device once more, and read."""
    block.profiler.stop()
    block.counts.waits["cudaDeviceSynchronize"] -= 1
    for event in block.profiler.events():
        name = event.name
        if event.device_type == DeviceType.CPU:
            if name in SYNCHRONIZE:
                block.counts.waits[name] += 1
        elif name.startswith("Memcpy HtoD"):
            block.counts.copies_in[name] += 1
        elif name.startswith("Memcpy DtoH"):
            block.counts.copies_out[name] += 1
        else:
            block.counts.kernels[name] += 1


def on_host(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's values on the CPU."""
    return tensor.cpu()
