"""The featurizer's weighted sum over layers, for features that are not in one padded batch.

s3prl 0.4.18 (upstream/interfaces.py, Featurizer) takes the softmax of one weight a layer and sums the layers
of a padded batch. Here each utterance is summed by itself: no padding is made, read or multiplied. Imports
torch, so it is imported where it is used.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def take_over(featurizer: Any) -> None:
    """Have s3prl's featurizer sum what is stored instead of an upstream's padded batch.

    It is still called itself, since DistributedDataParallel sees gradients of what it called only.
    """
    featurizer.forward = functools.partial(_forward, featurizer)


def _forward(featurizer: Any, stored: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """`[frame, feature]` of each utterance, from all their means or from each one's frames."""
    raw: Tensor | None = getattr(featurizer, "weights", None)
    weights = None if raw is None else raw.softmax(dim=-1)
    if isinstance(stored, Tensor):
        return list(sum_pooled(weights, stored).unsqueeze(1).unbind(0))
    return [sum_frames(weights, frames) for frames in stored]


def sum_pooled(weights: Tensor | None, means: Tensor) -> Tensor:
    """Means over frames `[batch, layer, feature]` to `[batch, feature]`; no weights are for one layer."""
    if weights is None:
        (only,) = means.unbind(1)
        return only
    # No matrix product: autocast would round its operands.
    return (weights[:, None] * means).sum(dim=1)


def sum_frames(weights: Tensor | None, frames: Tensor) -> Tensor:
    """Frames `[layer, frame, feature]` in any precision to `[frame, feature]` in fp32, as `sum_pooled`."""
    if weights is None:
        (only,) = frames
        return only.float()
    total: Tensor = _Weighted.apply(weights, frames)
    return total


class _Weighted(torch.autograd.Function):
    """Layer after layer, so that no copy of all of them in fp32 is ever made, nor kept for the gradient."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, frames: Tensor) -> Tensor:
        ctx.save_for_backward(frames)
        total = torch.zeros(frames.shape[1:], dtype=torch.float32, device=frames.device)
        for weight, layer in zip(weights, frames, strict=True):
            total.addcmul_(weight, layer.float())
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (frames,) = ctx.saved_tensors
        flat = gradients[0].reshape(-1)
        return torch.stack([torch.dot(layer.float().reshape(-1), flat) for layer in frames]), None
