"""The one class of the catalyst package that s3prl's keyword spotting imports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DistributedSampler, Sampler


class DistributedSamplerWrapper(DistributedSampler):
    """Deals the items that `sampler` draws in one pass out to the processes of a distributed run."""

    def __init__(
        self,
        sampler: Sampler[Any],
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
    ) -> None:
        # DistributedSampler only asks its data set for a length, and a sampler has one.
        super().__init__(sampler, num_replicas=num_replicas, rank=rank, shuffle=shuffle)  # type: ignore[arg-type]
        self.sampler = sampler

    def __iter__(self) -> Iterator[Any]:
        drawn = list(self.sampler)
        return iter([drawn[index] for index in super().__iter__()])
