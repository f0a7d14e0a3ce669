"""Kernels, FLOPs and bytes, against what can be counted by hand."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
import torch

from downstream_runs.estimate import counts
from downstream_runs.estimate.counts import Counts
from upstream_arm.expert import from_seed
from upstream_arm.profiling import formulas


def test_a_linear_layer_and_its_activation() -> None:
    layer = torch.nn.Linear(8, 16)
    given = torch.randn(4, 8)
    found = counts.of_call(lambda: torch.relu(layer(given)))
    moved = 4 * (4 * 8 + 8 * 16 + 16 + 4 * 16)
    assert found == Counts(kernels=2, fp32=2 * 4 * 8 * 16, products=moved, others=4 * 2 * 4 * 16)


def test_precisions_have_peaks_of_their_own() -> None:
    one = torch.randn(4, 4)
    assert counts.of_call(lambda: one.double() @ one.double()).fp64 == 128
    assert counts.of_call(lambda: one.bfloat16() @ one.bfloat16()).bf16 == 128
    kernel = torch.randn(1, 1, 3)
    assert counts.of_call(lambda: torch.conv1d(torch.randn(1, 1, 5), kernel)).tf32 == 2 * 3 * 3


def test_attention_is_one_kernel() -> None:
    query = torch.randn(2, 3, 5, 8)
    found = counts.of_call(lambda: torch.nn.functional.scaled_dot_product_attention(query, query, query))
    assert (found.kernels, found.fp32) == (1, 2 * 2 * (2 * 3 * 5 * 5 * 8))


@pytest.mark.parametrize("packed", [True, False])
def test_a_recurrent_layer_starts_two_kernels_a_step(packed: bool) -> None:
    layer = torch.nn.LSTM(8, 16, bidirectional=True, batch_first=True)
    given = torch.randn(2, 5, 8)
    rows = 10
    if packed:
        given = torch.nn.utils.rnn.pack_padded_sequence(given, torch.tensor([5, 3]), batch_first=True)
        rows = 8
    with torch.no_grad():
        forward = counts.of_call(lambda: layer(given))
    weights = 2 * (64 * 8 + 64 * 16)
    assert (forward.tf32, forward.steps) == (2 * rows * weights, 2 * 2 * 5)
    both = counts.of_call(lambda: layer(given))
    assert (both.tf32, both.steps) == (3 * forward.tf32, 2 * forward.steps)


def test_a_larger_batch_takes_no_more_kernels() -> None:
    found = Counts(kernels=3, steps=10, fp32=100, others=8).larger(batch=2, length=3)
    assert found == Counts(kernels=3, steps=30, fp32=600, others=48)


def test_a_student_is_counted_without_arithmetic_as_its_formula_says() -> None:
    upstream = from_seed("armhubert").eval()
    found = counts.of_pass(upstream, [16_000, 12_000])
    macs = sum(formulas.macs(upstream.student.config, 16_000).values())
    # The formula leaves out the column of ones of the double softmax.
    assert (found.fp32 + found.tf32) / (2 * 2 * macs) == pytest.approx(1.0, abs=0.005)


class _Asks(torch.nn.Module):
    """Needs the values of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.map = torch.nn.Linear(1, 4)

    def forward(self, wavs: list[torch.Tensor]) -> torch.Tensor:
        lengths = torch.tensor([len(wav) for wav in wavs])
        padded = torch.zeros(len(wavs), int(lengths.max()), 1)
        return self.map(padded)


def test_a_module_that_needs_values_is_run_on_two_waveforms() -> None:
    found = counts.of_pass(_Asks(), [100] * 8)
    assert found.fp32 == 8 * 100 * 2 * 4
