"""What s3prl's heads are spared: the same numbers and gradients as with torch's and s3prl's own."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import rnn

from downstream_runs import bridge
from downstream_runs.bridge import heads

LENGTHS = {"pooled": [1, 1, 1], "alike": [5, 5], "padded": [4, 7, 1]}


def sequences(lengths: list[int]) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(length, 3) for length in lengths]


def outcome(pad: Any, given: list[Tensor], direction: Tensor) -> list[Tensor]:
    """The padded batch, and the gradient of each sequence."""
    leaves = [one.clone().requires_grad_() for one in given]
    padded = pad(leaves, batch_first=True)
    (padded * direction).sum().backward()
    return [padded.detach(), *(one.grad for one in leaves if one.grad is not None)]


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_padding_has_torchs_values_and_gradients(lengths: list[int]) -> None:
    direction = torch.randn(len(lengths), max(lengths), 3)
    given = sequences(lengths)
    expected, found = (outcome(pad, given, direction) for pad in (rnn.pad_sequence, heads.pad_sequence))
    assert len(found) == len(lengths) + 1
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("options", [{}, {"batch_first": True, "padding_value": 7}], ids=["plain", "filled"])
def test_padding_takes_torchs_options(options: dict[str, Any]) -> None:
    labels = [torch.arange(length) for length in (2, 4, 1)]
    assert torch.equal(heads.pad_sequence(labels, **options), rnn.pad_sequence(labels, **options))


@pytest.mark.parametrize("name", heads.EXPERTS)
def test_every_head_pads_so(name: str) -> None:
    bridge.apply()
    assert importlib.import_module(f"s3prl.downstream.{name}.expert").pad_sequence is heads.pad_sequence


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in heads.POOLINGS.items() for name in names]
)
def test_a_pooling_of_rows_has_s3prls_numbers_and_gradients(module: str, name: str) -> None:
    bridge.apply()
    pooling = getattr(importlib.import_module(module), name)(input_dim=3, out_dim=3)
    lengths = torch.tensor([4, 7, 3])
    padded = torch.arange(7) >= lengths[:, None]
    about = lengths if name == "MeanPooling" else padded * -100_000.0
    batch = torch.randn(3, 7, 3, generator=torch.Generator().manual_seed(0))
    results = []
    for forward in (type(pooling).forward, type(pooling).forward.__wrapped__):
        leaf = batch.clone().requires_grad_()
        given = forward(pooling, leaf, about)
        vectors = given[0] if isinstance(given, tuple) else given
        (vectors * torch.arange(vectors.numel()).view_as(vectors)).sum().backward()
        results.append((vectors, leaf.grad))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize(("context", "dilation"), [(5, 1), (3, 2), (3, 3), (1, 1)])
def test_contexts_gathered_on_a_device_have_torchs_values_and_gradients(context: int, dilation: int) -> None:
    batch = torch.randn(3, 40, 6, generator=torch.Generator().manual_seed(0))
    one, other = (batch.clone().requires_grad_() for _ in range(2))
    found = heads._gathered().apply(one, context, dilation)
    expected = torch.nn.functional.unfold(
        other.unsqueeze(1), (context, 6), dilation=(dilation, 1), stride=(1, 6)
    )
    assert found.stride() == expected.stride()  # products are rounded by how their factors lie
    torch.manual_seed(1)
    weights = torch.randn_like(expected)
    for output in (found, expected):
        output.backward(weights)
    assert torch.equal(found, expected) and torch.equal(one.grad, other.grad)


def test_the_x_vector_takes_its_contexts_so() -> None:
    bridge.apply()
    functional = importlib.import_module("s3prl.downstream.sv_voxceleb1.model").F
    assert isinstance(functional, heads._Functional) and functional.relu is torch.nn.functional.relu
