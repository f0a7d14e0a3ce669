"""Where a run computes: a CPU, a GPU, or the processes that torchrun started."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist

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
def distributed(device: str | None) -> Iterator[DistributedContext]:
    """Join the processes of the run, and leave them at the end.

    `device` is `cpu`, `cuda`, or None for a GPU where there is one; UpstreamError if it does not exist.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise UpstreamError(
            f"the device {kind} is not there; give --device cpu, or run on a machine with a GPU"
        )
    own = torch.device("cpu")
    if kind == "cuda":
        own = torch.device(kind, int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(own)
        # A run that goes on after a kill should compute what it would have computed.
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    if devices == 1:
        yield DistributedContext(own)
        return
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield DistributedContext(own, dist.get_rank(), devices)
    finally:
        dist.destroy_process_group()
