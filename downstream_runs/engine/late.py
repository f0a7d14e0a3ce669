"""Numbers of a device that are read late and together, so that nothing waits for the device in between."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

Then = Callable[[list[float]], None]
"""What is done with the values of a tensor when they are known; it may raise."""


class LateNumbers:
    """Numbers that are waited for once, in `read`; those of the CPU are known and handed on at once."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, Then]] = []

    def add(self, numbers: Tensor, then: Then) -> None:
        """Have `then` called with the values of `numbers`, of any shape, when they are read."""
        flat = numbers.detach().reshape(-1)
        if flat.device.type == "cpu":
            then(flat.tolist())
        else:
            self._waiting.append((flat, then))

    def read(self) -> None:
        """Copy all numbers to the host at once and hand them on, in the order in which they were added.

        Where one `then` raises, those after it are not called.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        values = iter(torch.cat([numbers for numbers, _ in waiting]).tolist())
        for numbers, then in waiting:
            then(list(itertools.islice(values, len(numbers))))
