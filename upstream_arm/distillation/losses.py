"""The distance between a student's layers and its teacher's: the paper's equation 6 and its ablations.

Two forms:

- `paper`: the L2 norm of each frame's difference, averaged over the masked frames M and over the n - |M|
  others of an utterance separately (equations 5 and 6), then over the batch; padding is left out.
- `released`: the authors' code. The squared difference, averaged over the feature dimension and over ALL
  frames of the padded batch; so the two parts weigh as many frames as they have.

Four objectives over them: `full` is equation 6, `masked_only` and `unmasked_from_clean` are the two
ablations of Table 3, `layer_to_layer` is distillation without masking, as in Table 2.
The fifth, `star`, compares relations between frames instead (see `star`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Form = Literal["paper", "released"]
Objective = Literal["full", "masked_only", "unmasked_from_clean", "layer_to_layer", "star"]

#: Section 4.1: 0.1 for every layer but the last, which has 1.
LOWER_LAYERS, LAST_LAYER = 0.1, 1.0


@dataclasses.dataclass(frozen=True)
class Loss:
    """A distillation loss and what it is made of.

    Attributes:
        total: the layers' weighted sum, with gradients.
        masked: the masked part of each layer before weighting, [layer], without gradients.
        unmasked: likewise the unmasked part; the whole of it in `layer_to_layer`.
        divergence: in self-distillation the KL divergence before weighting, without gradients; else None.
            `masked` and `unmasked` are then the deepest path's, and `total` has the shallowest path's too.
    """

    total: Tensor
    masked: Tensor
    unmasked: Tensor
    divergence: Tensor | None = None


def layer_weights(layers: int) -> tuple[float, ...]:
    """The paper's alpha of each layer."""
    return (LOWER_LAYERS,) * (layers - 1) + (LAST_LAYER,)


def distillation_loss(
    student: Sequence[Tensor],
    clean: Sequence[Tensor],
    masked: Sequence[Tensor] | None,
    mask: Tensor | None,
    valid: Tensor,
    *,
    form: Form = "paper",
    objective: Objective = "full",
) -> Loss:
    """Equation 6, or one of its ablations.

    Args:
        student: the student's layers, each [batch, frame, feature]; computed from the masked input, or from
            the clean one for `layer_to_layer`.
        clean: the teacher's layers on the clean input, of the same shape.
        masked: the teacher's layers on the input masked at the same frames; only `full` reads it.
        mask: [batch, frame] of bool, True for masked frames; None for `layer_to_layer`.
        valid: [batch, frame] of bool, False for padding; `released` does not look at it.
        form: see the module.
        objective: see the module.
    """
    in_mask, outside = frame_weights(mask, valid, form, objective)
    masked_terms, unmasked_terms = [], []
    for layer, (prediction, target) in enumerate(zip(student, clean, strict=True)):
        if objective == "full":
            assert mask is not None and masked is not None, "the full loss needs masks and both passes"
            target = torch.where(mask.unsqueeze(2), target, masked[layer])
        distances = frame_distances(prediction, target, form)
        masked_terms.append((distances * in_mask).sum())
        unmasked_terms.append((distances * outside).sum())
    by_layer = torch.stack(masked_terms), torch.stack(unmasked_terms)
    weights = by_layer[0].new_tensor(layer_weights(len(student)))
    total = (weights * (by_layer[0] + by_layer[1])).sum()
    return Loss(total, by_layer[0].detach(), by_layer[1].detach())


def frame_distances(prediction: Tensor, target: Tensor, form: Form) -> Tensor:
    """The distance of each frame, [batch, frame], in at least fp32: its L2 norm or its mean square."""
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    difference = prediction.to(dtype) - target.to(dtype)
    if form == "paper":
        return torch.linalg.vector_norm(difference, dim=2)
    return difference.square().mean(dim=2)


def frame_weights(
    mask: Tensor | None, valid: Tensor, form: Form, objective: Objective
) -> tuple[Tensor, Tensor]:
    """What each frame's distance counts for in the masked and in the unmasked part, [batch, frame] each."""
    if mask is None or objective == "layer_to_layer":
        mask = torch.zeros_like(valid)
    if form == "released":
        batch, frames = mask.shape
        parts = [part.float() / (batch * frames) for part in (mask, ~mask)]
    else:
        parts = []
        for part in (mask & valid, ~mask & valid):
            # An utterance without a single frame of one kind has no such part.
            sizes = part.sum(dim=1, keepdim=True).clamp_min(1)
            parts.append(part.float() / (sizes * len(part)))
    inside, outside = parts
    return inside, torch.zeros_like(outside) if objective == "masked_only" else outside
