"""Subsequence dynamic time warping of one query with many documents at once.

Formulas, as s3prl 0.4.18's `downstream/quesst14_dtw/expert.py` has them by its default configuration: the
distance of two frames is exp(1 - cosine similarity) - 1; each query frame's distances are brought to 0...1
over the document's frames; the path takes each query frame once and moves 0, 1 or 2 document frames (the
asymmetric step pattern of Sakoe and Chiba), begins and ends anywhere in the document, and its cost is divided
by the number of query frames. All in 64-bit floats, as there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SMALLEST_RANGE = 1e-9  # s3prl's bound on the divisor


def normalized_distances(query: torch.Tensor, documents: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The cost of the best path of the query in each document, per query frame: `[document]`.

    query: `[query frame, feature]`, frames of length 1. documents: `[document, frame, feature]`, frames of
    length 1, padded with anything finite. lengths: frames of each document, at least 1 each.
    """
    distances = cosine_exp(query, documents)
    inside = _inside(lengths, documents.shape[1])[:, None, :]
    return subsequence(minmax(distances, inside))


def cosine_exp(query: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """exp(1 - cosine) - 1 of frames of length 1: `[document, query frame, document frame]`."""
    import torch

    # Rounding brings products of equal frames above 1; scipy, which s3prl calls, cuts there too.
    cosine = torch.matmul(query, documents.transpose(1, 2)).clamp_(-1.0, 1.0)
    return cosine.neg_().add_(1.0).expm1_()


def minmax(distances: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Each row brought to 0...1 over the frames inside the document; infinite outside of it."""
    infinite = float("inf")
    lowest = distances.masked_fill(~inside, infinite).amin(dim=2, keepdim=True)
    highest = distances.masked_fill(~inside, -infinite).amax(dim=2, keepdim=True)
    scaled = (distances - lowest) / (highest - lowest).clamp_(min=SMALLEST_RANGE)
    return scaled.masked_fill_(~inside, infinite)


def subsequence(distances: torch.Tensor) -> torch.Tensor:
    """Best path's cost per query frame, `[document]`, through `[document, query frame, document frame]`."""
    import torch

    cost = distances[:, 0]
    for row in range(1, distances.shape[1]):
        before = cost.clone()
        for move in (1, 2):
            before[:, move:] = torch.minimum(before[:, move:], cost[:, :-move])
        cost = before.add_(distances[:, row])
    return cost.amin(dim=1) / distances.shape[1]


def unit(frames: torch.Tensor) -> torch.Tensor:
    """Frames `[frame, feature]` scaled to length 1; a frame of zeros becomes not a number, as in scipy."""
    return frames / frames.norm(dim=-1, keepdim=True)


def _inside(lengths: torch.Tensor, longest: int) -> torch.Tensor:
    import torch

    return torch.arange(longest, device=lengths.device)[None, :] < lengths[:, None]
