"""Exact batching of any upstream: each utterance is encoded by itself, so that its batch changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from upstream_arm.student import lengthened


def together(outputs: Sequence[Mapping[str, Any]], wanted: Callable[[str], int]) -> dict[str, Any]:
    """One output of a batch from the outputs of its utterances, each encoded alone.

    Every utterance's last frame is repeated until there are as many as the longest has, and as many as
    s3prl's featurizer asks for: `wanted` of a key. So it takes as many frames of an utterance in any batch.
    Keys under which there are no features `[1, frame, feature]`, or not in every output, are left out.
    """
    common = [key for key in outputs[0] if all(key in output for output in outputs)]
    joined = {key: _joined([output[key] for output in outputs], wanted, key) for key in common}
    return {key: value for key, value in joined.items() if value is not None}


def first_layer(states: Any) -> Tensor:
    """The first tensor in one of the forms that features have."""
    while not isinstance(states, Tensor):
        states = next(iter(states.values() if isinstance(states, Mapping) else states))
    return states


def _joined(values: Sequence[Any], wanted: Callable[[str], int], key: str) -> Any:
    """The same in one form: a tensor, a list or a dict of them; None for anything else."""
    first = values[0]
    if isinstance(first, Tensor):
        return _batch(values, wanted(key)) if all(map(_is_one, values)) else None
    if isinstance(first, Mapping):
        layers = _joined([list(value.values()) for value in values], wanted, key)
        return None if layers is None else dict(zip(first, layers, strict=True))
    if isinstance(first, (list, tuple)) and len({len(value) for value in values}) == 1:
        layers = [_joined(layer, wanted, key) for layer in zip(*values, strict=True)]
        return None if any(layer is None for layer in layers) else layers
    return None


def _is_one(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 3 and len(value) == 1 and value.shape[1] > 0


def _batch(states: Sequence[Tensor], wanted: int) -> Tensor:
    """`[1, frame, feature]` each to `[batch, frame, feature]`, the last frames repeated."""
    total = max(wanted, *(state.shape[1] for state in states))
    return torch.cat([lengthened(one, total) for one in states])
