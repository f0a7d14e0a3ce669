"""The front end for one utterance against the ordinary one, at any length and offset."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from upstream_arm import lean_frontend
from upstream_arm.frontend import FrontEnd, PositionalConv
from upstream_arm.presets import PRESETS, front_end


@pytest.fixture(scope="module")
def module() -> FrontEnd:
    torch.manual_seed(0)
    built = FrontEnd(tuple((min(out, 24), kernel, stride) for out, kernel, stride in front_end(24)))
    torch.nn.init.uniform_(built.norm().weight, 0.5, 1.5)
    torch.nn.init.uniform_(built.norm().bias, -0.5, 0.5)
    return built


@given(length=st.integers(400, 9_000), offset=st.sampled_from([0.0, 0.3]), piece=st.sampled_from([1, 3, 100]))
@settings(max_examples=40, deadline=None)
def test_pieces_equal_the_whole(module: FrontEnd, length: int, offset: float, piece: int) -> None:
    wav = torch.randn(length, generator=torch.Generator().manual_seed(length)) * 0.1 + offset
    original = lean_frontend.PIECE
    lean_frontend.PIECE = piece
    try:
        with torch.no_grad():
            lean = lean_frontend.convolve(module, wav)
            expected = module(wav.unsqueeze(0), [length], True)[0]
    finally:
        lean_frontend.PIECE = original
    torch.testing.assert_close(lean, expected, atol=1e-5, rtol=1e-5)


def test_silence_is_finite(module: FrontEnd) -> None:
    with torch.no_grad():
        lean = lean_frontend.convolve(module, torch.zeros(1_000))
        expected = module(torch.zeros(1, 1_000), [1_000], True)[0]
    assert torch.isfinite(lean).all()
    torch.testing.assert_close(lean, expected, atol=1e-5, rtol=1e-5)


def test_positional_convolution_equals_torchs_weight_norm() -> None:
    torch.manual_seed(0)
    config = PRESETS["armhubert_s_960h"]
    ours = PositionalConv(config)
    torch.nn.init.normal_(ours.weight_g)
    plain = torch.nn.Conv1d(432, 432, 128, padding=64, groups=16)
    theirs = torch.nn.utils.parametrizations.weight_norm(plain, dim=2)
    with torch.no_grad():
        theirs.parametrizations.weight.original0.copy_(ours.weight_g)
        theirs.parametrizations.weight.original1.copy_(ours.weight_v)
        plain.bias.copy_(ours.bias)
        for frames in (1, 4, 30):
            x = torch.randn(2, frames, 432)
            expected = torch.nn.functional.gelu(theirs(x.transpose(1, 2))[:, :, :-1]).transpose(1, 2)
            torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)
            lean = lean_frontend.position(ours, x[1])
            torch.testing.assert_close(lean, expected[1], atol=1e-5, rtol=1e-5)
