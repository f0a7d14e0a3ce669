"""The distance between a student's layers and its teacher's.

`distillation_loss` is the paper's equation 6 (arXiv 2305.11685) and its ablations, in two forms:

- `paper`: the L2 norm of each frame's difference, averaged over the masked frames M and over the n - |M|
  others of an utterance separately (equations 5 and 6), then over the batch; padding is left out.
- `released`: the authors' code. The squared difference, averaged over the feature dimension and over ALL
  frames of the padded batch; so the two parts weigh as many frames as they have.

Its objectives: `full` is equation 6, `masked_only` and `unmasked_from_clean` are the ablations of Table 3,
`layer_to_layer` is distillation without masking, as in Table 2.

`star_loss` is STaR: the teacher's relations between frames instead of its frames (arXiv 2312.09040). The
abstract and the authors' read-me name two losses over temporal Gram matrices, which gather the channels at
two points in time: layer-wise, of one layer's output with itself, and intra-layer, of a layer's input with
its output. No training code was released. Inferred here, and to be said with every result: matrices are
divided by the width (teacher and student differ in it), compared by their mean squared difference over the
pairs of frames that are not padding, averaged over layers, and both losses weigh the same; the intra-layer
one begins at the second layer, whose input is the first one's output.

`self_distillation_loss` is for unfolded students. arXiv 2505.21237 ("Unfolding A Few Structures for The
Many"), of which the abstract alone was at hand, trains a seed model of a few blocks and the deeper models
unfolded from it together, with the KL divergence between the largest and the smallest as a further loss.
Inferred here, and to be said with every result:

- two paths are trained, the deepest (each block runs `repeats` times) and the shallowest (once); the depths
  between them see no loss of their own;
- both paths match the teacher by the run's objective with equal weight, on the same masks; the shallowest
  one has fewer layers, so each matches a layer further up in the teacher;
- features are no distributions, as the outputs of a recogniser are: a frame's last hidden state goes through
  a softmax over its features, at temperature 1;
- the deepest path is the target and gets no gradient from this loss; padding is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from upstream_arm.common import devices
from upstream_arm.distillation.settings import Form, Objective

#: Section 4.1: 0.1 for every layer but the last, which has 1.
LOWER_LAYERS, LAST_LAYER = 0.1, 1.0


@dataclasses.dataclass(frozen=True)
class Loss:
    """A distillation loss and what it is made of; only `total` has gradients."""

    total: Tensor  # the layers' weighted sum
    masked: Tensor  # the masked part of each layer before weighting, [layer]
    unmasked: Tensor  # likewise the unmasked part; the whole of it in `layer_to_layer`
    # In self-distillation the KL divergence before weighting. `masked` and `unmasked` are then the deepest
    # path's, and `total` has the shallowest path's too.
    divergence: Tensor | None = None

    def sums(self) -> Tensor:
        """[total, masked, unmasked], the parts as weighted sums over layers, without gradients."""
        weights = _layer_weights_of(self.masked)
        parts = [(weights * part).sum() for part in (self.masked, self.unmasked)]
        return torch.stack([self.total.detach(), *parts])


def layer_weights(layers: int) -> tuple[float, ...]:
    """The paper's alpha of each layer."""
    return (LOWER_LAYERS,) * (layers - 1) + (LAST_LAYER,)


def _layer_weights_of(by_layer: Tensor) -> Tensor:
    """Those of `[layer]`, beside it."""
    weights = torch.tensor(layer_weights(len(by_layer)), dtype=by_layer.dtype)
    return devices.to_device(weights, by_layer.device)


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
    """Equation 6, or one of its ablations; see the module for `form` and `objective`.

    Args:
        student: the student's layers, each [batch, frame, feature]; computed from the masked input, or from
            the clean one for `layer_to_layer`.
        clean: the teacher's layers on the clean input, of the same shape.
        masked: the teacher's layers on the input masked at the same frames; only `full` reads it.
        mask: [batch, frame] of bool, True for masked frames; None for `layer_to_layer`.
        valid: [batch, frame] of bool, False for padding; `released` does not look at it.
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
    weights = _layer_weights_of(by_layer[0])
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


def temporal_gram(one: Tensor, other: Tensor) -> Tensor:
    """[batch, frame, feature] twice to [batch, frame, frame]: products of frames divided by the width."""
    dtype = torch.promote_types(one.dtype, torch.float32)
    # Autocast would take the products in half precision, where sums over channels overflow.
    with torch.autocast(one.device.type, enabled=False):
        return one.to(dtype) @ other.to(dtype).transpose(1, 2) / one.shape[2]


def star_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], valid: Tensor) -> Loss:
    """STaR's two losses together: `masked` holds the layer-wise terms, `unmasked` the intra-layer ones.

    The layers are [batch, frame, feature], the teacher's of any width; `valid` is False for padding.
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


def self_distillation_loss(deepest: Tensor, shallowest: Tensor, valid: Tensor) -> Tensor:
    """KL(deepest || shallowest) of the softmax over features, in nats, mean over frames that are `valid`.

    Both are a path's last hidden state, [batch, frame, feature]; `valid` is [batch, frame] of bool.
    """
    dtype = torch.promote_types(deepest.dtype, torch.float32)
    wanted = F.log_softmax(deepest.detach().to(dtype), dim=2)
    own = F.log_softmax(shallowest.to(dtype), dim=2)
    return F.kl_div(own, wanted, reduction="none", log_target=True).sum(dim=2)[valid].mean()
