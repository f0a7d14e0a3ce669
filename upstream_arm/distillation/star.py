"""STaR: the teacher's relations between frames instead of its frames (arXiv 2312.09040).

The abstract and the authors' read-me name two losses over temporal Gram matrices, which gather the channels
at two points in time: layer-wise, of one layer's output with itself, and intra-layer, of a layer's input
with its output. No training code was released. Inferred here, and to be said with every result: matrices
are divided by the width (teacher and student differ in it), compared by their mean squared difference over
the pairs of frames that are not padding, averaged over layers, and both losses weigh the same; the
intra-layer one begins at the second layer, whose input is the first one's output.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from upstream_arm.distillation.losses import Loss


def temporal_gram(one: Tensor, other: Tensor) -> Tensor:
    """[batch, frame, feature] twice to [batch, frame, frame]: products of frames divided by the width."""
    dtype = torch.promote_types(one.dtype, torch.float32)
    # Autocast would take the products in half precision, where sums over channels overflow.
    with torch.autocast(one.device.type, enabled=False):
        return one.to(dtype) @ other.to(dtype).transpose(1, 2) / one.shape[2]


def star_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], valid: Tensor) -> Loss:
    """The two losses together.

    Args:
        student: its encoder layers, each [batch, frame, feature].
        teacher: likewise, of any width.
        valid: [batch, frame] of bool, False for padding.

    Returns:
        `masked` holds the layer-wise terms and `unmasked` the intra-layer ones (0 for the first layer).
    """
    pairs = (valid.unsqueeze(2) & valid.unsqueeze(1)).float()
    pairs = pairs / (pairs.sum(dim=(1, 2), keepdim=True) * len(valid))
    layer_wise, intra_layer = [], []
    for layer, (own, wanted) in enumerate(zip(student, teacher, strict=True)):
        difference = temporal_gram(own, own) - temporal_gram(wanted, wanted)
        layer_wise.append((difference.square() * pairs).sum() / len(student))
        if layer == 0:
            intra_layer.append(torch.zeros_like(layer_wise[0]))
            continue
        across = temporal_gram(student[layer - 1], own) - temporal_gram(teacher[layer - 1], wanted)
        intra_layer.append((across.square() * pairs).sum() / (len(student) - 1))
    terms = torch.stack(layer_wise), torch.stack(intra_layer)
    return Loss(terms[0].sum() + terms[1].sum(), terms[0].detach(), terms[1].detach())
