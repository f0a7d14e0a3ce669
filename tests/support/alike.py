"""Whether two states of checkpoints are equal."""

from __future__ import annotations

from typing import Any

import torch


def same(left: Any, right: Any) -> bool:
    """Equal, tensors bit for bit."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)
