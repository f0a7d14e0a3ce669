"""The featurizer's weighted sum over layers, for features that are not in one padded batch.

s3prl 0.4.18 (upstream/interfaces.py, Featurizer) takes the softmax of one weight a layer and sums the layers
of a padded batch. Here each utterance is summed by itself: no padding is made, read or multiplied. Imports
torch, so it is imported where it is used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def layer_weights(featurizer: Any) -> Tensor | None:
    """The weights `[layer]`, summing to 1 and carrying gradients; None where there is one layer only."""
    weights: Tensor | None = getattr(featurizer, "weights", None)
    return None if weights is None else weights.softmax(dim=-1)


def sum_pooled(weights: Tensor | None, means: Tensor) -> Tensor:
    """Means over frames `[batch, layer, feature]` to `[batch, feature]`."""
    # No matrix product: autocast would round its operands.
    return means[:, 0] if weights is None else (weights[:, None] * means).sum(dim=1)


def sum_frames(weights: Tensor | None, frames: Tensor) -> Tensor:
    """Frames `[layer, frame, feature]` in any precision to `[frame, feature]` in fp32."""
    if weights is None:
        return frames[0].float()
    found: Tensor = _Weighted.apply(weights, frames)
    return found


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
