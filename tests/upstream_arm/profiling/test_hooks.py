"""The measured count sees products that torch's fused operations hide."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upstream_arm.profiling import hooks

FRAMES, WIDTH = 20, 8


def _lstm() -> nn.Module:
    return nn.LSTM(WIDTH, 16, bidirectional=True, batch_first=True)


class _Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x)


class _Vectors(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        rows = x[0]
        return rows @ rows[0], rows[0] @ rows[1], torch.addmv(rows[:, 0], rows, rows[0])


# One computing layer: q, k, v and output projections, two products with the map, feed-forward of 16.
_LAYER = 4 * FRAMES * WIDTH**2 + 2 * FRAMES**2 * WIDTH + 2 * FRAMES * WIDTH * 16


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: nn.Linear(WIDTH, 5), FRAMES * WIDTH * 5),
        (_lstm, 2 * FRAMES * 4 * 16 * (WIDTH + 16)),
        (lambda: nn.GRU(WIDTH, 16, batch_first=True), FRAMES * 3 * 16 * (WIDTH + 16)),
        (_Attention, 2 * FRAMES**2 * WIDTH),
        (lambda: nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True), _LAYER),
        (_Vectors, FRAMES * WIDTH + WIDTH + FRAMES * WIDTH),
    ],
    ids=["linear", "lstm", "gru", "attention", "transformer", "vectors"],
)
def test_every_product_is_counted(make: Callable[[], nn.Module], expected: int) -> None:
    def forward(module: nn.Module, wav: Tensor) -> object:
        return module(wav.reshape(1, FRAMES, WIDTH))

    assert hooks.count(make(), [FRAMES * WIDTH], forward) == [
        {"convolutions": 0, "matrix_products": expected}
    ]


def test_a_grouped_convolution_counts_its_group_alone_and_each_length_for_itself() -> None:
    conv = nn.Conv1d(4, 6, 3, groups=2)
    counts = hooks.count(conv, [40, 80], lambda module, wav: module(wav.reshape(1, 4, -1)))
    assert counts == [{"convolutions": t * 3 * 2 * 6, "matrix_products": 0} for t in (8, 18)]


def test_torchs_switches_are_as_before() -> None:
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    hooks.count(nn.Linear(4, 4), [4], lambda module, wav: module(wav))
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled) == before


def test_shared_parameters_count_once() -> None:
    module = nn.ModuleDict({"first": nn.Linear(3, 3), "second": nn.Linear(3, 3)})
    module["second"].weight = module["first"].weight
    module.register_parameter("scale", nn.Parameter(torch.ones(2)))
    assert hooks.parameters(module) == {"first": 12, "second": 3, "own": 2}
