"""Where a run computes: a CPU, an accelerator, or the processes that torchrun started."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist

from upstream_arm.common import devices as accelerators
from upstream_arm.common.errors import UpstreamError


@dataclasses.dataclass(frozen=True)
class DistributedContext:
    """This process among the `devices` ones of the run: its own device and rank; rank 0 writes files."""

    device: torch.device
    rank: int = 0
    devices: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over all processes."""
        if self.devices > 1:
            dist.all_reduce(values)
            values /= self.devices
        return values

    def wait(self) -> None:
        """Until all processes are here."""
        if self.devices > 1:
            dist.barrier()


@contextlib.contextmanager
def distributed(device: str) -> Iterator[DistributedContext]:
    """Join the processes of the run, and leave them at the end.

    `device` is a name of `upstream_arm.common.devices`; UsageError if there is none of it, or if several
    processes should share one.
    """
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    own = accelerators.pick(device)
    if own.type != "cpu":
        if devices > 1 and ":" in device:
            raise UpstreamError(
                f"--device {device} names one of several, and torchrun started {devices} processes; give "
                f"--device {own.type}"
            )
        if ":" not in device:
            own = accelerators.pick(f"{own.type}:{os.environ.get('LOCAL_RANK', '0')}")
        torch.accelerator.set_device_index(own.index)
        # A run that goes on after a kill should compute what it would have computed.
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
    if devices == 1:
        yield DistributedContext(own)
        return
    dist.init_process_group(accelerators.backend(own.type))
    try:
        yield DistributedContext(own, dist.get_rank(), devices)
    finally:
        dist.destroy_process_group()
