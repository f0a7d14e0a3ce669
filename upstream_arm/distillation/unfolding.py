"""Self-distillation of an unfolded student: its shallowest path learns from its deepest one.

arXiv 2505.21237 ("Unfolding A Few Structures for The Many"), of which the abstract alone was at hand, trains
a seed model of a few blocks and the deeper models unfolded from it together, with the KL divergence between
the largest and the smallest as a further loss. Inferred here, and to be said with every result:

- two paths are trained, the deepest (each block runs `repeats` times) and the shallowest (once); the depths
  between them see no loss of their own;
- both paths match the teacher by the run's objective with equal weight, on the same masks; the shallowest
  one has fewer layers, so each matches a layer further up in the teacher;
- features are no distributions, as the outputs of a recogniser are: a frame's last hidden state goes through
  a softmax over its features, at temperature 1;
- the deepest path is the target and gets no gradient from this loss; padding is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def self_distillation_loss(deepest: Tensor, shallowest: Tensor, valid: Tensor) -> Tensor:
    """KL(deepest || shallowest) of the softmax over features, in nats, mean over frames.

    Args:
        deepest: the last hidden state of the deepest path, [batch, frame, feature].
        shallowest: likewise of the shallowest path.
        valid: [batch, frame] of bool, False for padding.
    """
    dtype = torch.promote_types(deepest.dtype, torch.float32)
    wanted = F.log_softmax(deepest.detach().to(dtype), dim=2)
    own = F.log_softmax(shallowest.to(dtype), dim=2)
    return F.kl_div(own, wanted, reduction="none", log_target=True).sum(dim=2)[valid].mean()
