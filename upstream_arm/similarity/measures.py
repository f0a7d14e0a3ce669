"""Two measures of how alike attention maps are, and the reuse patterns that they suggest.

Both compare what the same frame attends to in two maps, rows p and q, and are means over the frames:

- cosine: p·q / (|p| |q|), 1 for equal rows;
- Jensen-Shannon divergence: H((p + q) / 2) - (H(p) + H(q)) / 2 in bits, 0 for equal rows and at most 1 (Lin
  1991, "Divergence measures based on the Shannon entropy").
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Likeness:
    """Means over utterances, `[layer, head, layer, head]` each. utterances, frames: how many there were."""

    cosine: Tensor
    divergence: Tensor
    utterances: int
    frames: int

    def of_layers(self, values: Tensor) -> Tensor:
        """`[layer, layer]`: the mean over heads, each with that of its number, as a map is reused."""
        return values.diagonal(dim1=1, dim2=3).mean(-1)


def measured(maps: Iterable[Tensor]) -> Likeness:
    """Of the maps of some utterances, `[layer, head, frame, frame]` each; every utterance counts alike."""
    cosines, divergences, frames = [], [], 0
    for one in maps:
        layers, heads, count, _ = one.shape
        shape, rows = (layers, heads, layers, heads), one.flatten(0, 1)
        cosines.append(_cosine(rows).reshape(shape))
        divergences.append(_divergence(rows).reshape(shape))
        frames += count
    cosine, divergence = (torch.stack(values).mean(0) for values in (cosines, divergences))
    return Likeness(cosine, divergence, len(cosines), frames)


def _cosine(rows: Tensor) -> Tensor:
    """`[map, map]` of `[map, frame, frame]`."""
    units = torch.nn.functional.normalize(rows, dim=-1).flatten(1)
    return units @ units.T / rows.shape[1]


def _divergence(rows: Tensor) -> Tensor:
    """`[map, map]` of `[map, frame, frame]`."""

    def entropy(values: Tensor) -> Tensor:
        return torch.special.entr(values).sum((-1, -2)) / rows.shape[1]

    own = entropy(rows)
    found = torch.zeros(len(rows), len(rows))
    for place, row in enumerate(rows):
        both = entropy((row + rows[place:]) / 2) - (own[place] + own[place:]) / 2
        found[place, place:] = found[place:, place] = (both / math.log(2)).clamp(0, 1)
    return found


@dataclass(frozen=True)
class Pattern:
    """Which layers compute a map, the others reusing the last one before them.

    cosine, divergence: means over the reusing layers of how alike the map is that they would compute and the
    one that they reuse; None where all compute.
    """

    computes: tuple[bool, ...]
    cosine: float | None
    divergence: float | None

    @property
    def attention_macs(self) -> float:
        """The part of the multiply-accumulates of attention that is left: 4Td² + 2T²d of a layer that
        computes its map, half of it of one that does not (`profiling.formulas`)."""
        return (len(self.computes) + sum(self.computes)) / (2 * len(self.computes))

    def __str__(self) -> str:
        return "".join("C" if computes else "r" for computes in self.computes)


def pattern(likeness: Likeness, computes: tuple[bool, ...]) -> Pattern:
    """A pattern with what the maps say of it."""
    sources = _sources(computes)
    pairs = [(layer, source) for layer, source in enumerate(sources) if layer != source]
    if not pairs:
        return Pattern(computes, None, None)
    layers, found = torch.tensor(pairs).T, []
    for values in (likeness.cosine, likeness.divergence):
        found.append(float(likeness.of_layers(values)[layers[0], layers[1]].mean()))
    return Pattern(computes, *found)


def _sources(computes: tuple[bool, ...]) -> list[int]:
    """The layer whose map each layer applies."""
    found: list[int] = []
    for layer, own in enumerate(computes):
        found.append(layer if own else found[-1])
    return found


def suggested(likeness: Likeness) -> list[Pattern]:
    """For each number of computing layers the pattern with the highest cosine, the cheapest first."""
    alike = likeness.of_layers(likeness.cosine)
    layers = len(alike)
    # best[end]: of the layers before `end`, the highest sum and the computing layers behind it.
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    found = []
    for _ in range(layers):
        best = {
            end: max(
                (total + float(alike[start, start + 1 : end].sum()), (*chosen, start))
                for start, (total, chosen) in best.items()
                if start < end
            )
            for end in range(min(best) + 1, layers + 1)
        }
        chosen = best[layers][1]
        found.append(pattern(likeness, tuple(layer in chosen for layer in range(layers))))
    return found
