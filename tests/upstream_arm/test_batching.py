"""Exact batching: features depend on nothing but the utterance."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence

from upstream_arm.config import StudentConfig
from upstream_arm.presets import PRESETS
from upstream_arm.student import Student, StudentOutput


@pytest.fixture(scope="module", params=["double", "single"])
def student(request: pytest.FixtureRequest, small_config: StudentConfig) -> Student:
    torch.manual_seed(0)
    built = Student(small_config.replace(reuse_softmax=request.param)).eval()
    for parameter in built.parameters():  # initial weights are too small to tell right from wrong
        torch.nn.init.normal_(parameter, std=0.25)
    return built


def run(student: Student, wavs: list[torch.Tensor]) -> StudentOutput:
    output: StudentOutput = student(pad_sequence(wavs, batch_first=True), [len(wav) for wav in wavs])
    return output


@pytest.mark.parametrize("path", ["one by one", "padded", "explicit"])
@given(lengths=st.lists(st.integers(400, 4000), min_size=1, max_size=4), seed=st.integers(0, 2**16))
@settings(max_examples=12, deadline=None)
def test_alone_and_in_any_batch(student: Student, path: str, lengths: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    wavs = [torch.randn(length, generator=generator) for length in lengths]
    student.explicit = path == "explicit"
    # With gradients on, a CPU takes the padded path that a GPU always takes.
    with torch.set_grad_enabled(path == "padded"):
        student.train(path == "padded")
        for module in student.modules():
            if isinstance(module, torch.nn.Dropout):
                module.eval()
        rates = [layer.self_attn.dropout for layer in student.encoder.layers]
        for layer in student.encoder.layers:
            layer.self_attn.dropout = 0.0
        batch = run(student, wavs)
        for layer, rate in zip(student.encoder.layers, rates, strict=True):
            layer.self_attn.dropout = rate
    student.eval()
    student.explicit = False
    for index, wav in enumerate(wavs):
        with torch.no_grad():
            alone = run(student, [wav])
        count = alone.frames[0]
        assert batch.frames[index] == count == (len(wav) - 400) // 320 + 1
        for together, single in zip(batch.hidden_states, alone.hidden_states, strict=True):
            torch.testing.assert_close(together[index, :count], single[0], atol=1e-4, rtol=0)
            padding = together[index, count:]
            assert torch.equal(padding, together[index, count - 1].expand_as(padding))


def test_full_size_batch_within_1e_4() -> None:
    torch.manual_seed(1)
    full = Student(PRESETS["armhubert"]).eval()
    wavs = [torch.randn(length) * 0.1 for length in (9_000, 16_000, 400, 12_345)]
    with torch.no_grad():
        full.explicit = True  # padded, so that the batch really is one
        batch = run(full, wavs)
        full.explicit = False
        for index, wav in enumerate(wavs):
            alone = run(full, [wav])
            for together, single in zip(batch.hidden_states, alone.hidden_states, strict=True):
                difference = (together[index, : single.shape[1]] - single[0]).abs().max()
                assert difference < 1e-4
