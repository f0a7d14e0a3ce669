"""Whether a type of fewer bits holds features: what it cannot hold is stored in fp32."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SUBNORMAL_SHARE = 0.01
"""Of a layer's values that are not 0, how many may lie below the type's smallest normal number (6.1e-5 of
fp16). Such a value keeps fewer bits than the type has, down to none. Features of size 1 have 0.005 %."""


def holds(frames: Tensor, dtype: torch.dtype) -> bool:
    """Whether `[layer, frame, feature]` keeps its values in `dtype`, up to the rounding that it always has.

    False if a finite value becomes infinite, or if in some layer too many are below the type's normal range.
    """
    import torch

    if dtype == frames.dtype:
        return True
    if bool((frames.isfinite() & ~frames.to(dtype).isfinite()).any()):
        return False
    size = frames.abs()
    small = (size > 0) & (size < torch.finfo(dtype).smallest_normal)
    counts, nonzero = small.sum(dim=(1, 2)), (size > 0).sum(dim=(1, 2))
    return not bool((counts > SUBNORMAL_SHARE * nonzero).any())
