"""The attention that needs no map against the one that writes it out."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from upstream_arm import attention, encoder
from upstream_arm.common import devices
from upstream_arm.config import StudentConfig
from upstream_arm.student import Student


def double_by_definition(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:
    padding = ~valid[:, None, None, :]
    first = (q.double() @ k.double().transpose(2, 3)).masked_fill(padding, float("-inf")).softmax(-1)
    return first.masked_fill(padding, float("-inf")).softmax(-1) @ v.double()


@pytest.mark.parametrize("block", [1, 50, 10_000])
@pytest.mark.parametrize("by_head", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_double_softmax_by_blocks(
    monkeypatch: pytest.MonkeyPatch, block: int, by_head: bool, padded: bool
) -> None:
    monkeypatch.setattr(attention, "CPU_BLOCK", block)
    torch.manual_seed(0)
    q, k, v = (torch.randn(3, 17, 2, 5).transpose(1, 2) for _ in range(3))
    valid = torch.arange(17) < torch.tensor([17, 3, 1] if padded else [17] * 3).unsqueeze(1)
    used = []
    by_head_ = attention._double_softmax_by_head
    monkeypatch.setattr(
        attention, "_double_softmax_by_head", lambda *given: used.append(1) or by_head_(*given)
    )
    with torch.set_grad_enabled(not by_head):
        got = attention.double_softmax_attention(q * 3, k, v, valid if padded else None)
    assert bool(used) == (by_head and block < 10_000)  # what is one block is not cut into heads
    torch.testing.assert_close(got, double_by_definition(q * 3, k, v, valid).float(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("memory", "rows"), [(80 << 30, 1342), (8 << 30, 134), (None, 134), (1 << 20, 1)])
def test_blocks_of_an_accelerator_are_a_share_of_its_memory(
    monkeypatch: pytest.MonkeyPatch, memory: int | None, rows: int
) -> None:
    monkeypatch.setattr(devices, "memory", lambda device: memory)
    found = []
    monkeypatch.setattr(attention, "_double_softmax_by_rows", lambda *given: found.append(given[-1]))
    tensors = [torch.empty(1, 10, 5_000, 4, device="meta") for _ in range(3)]
    attention.double_softmax_attention(*tensors, None)
    assert found == [rows]


def test_double_softmax_has_the_definitions_gradient() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2, 7, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    valid = torch.arange(7) < torch.tensor([7, 4]).unsqueeze(1)
    ours = torch.autograd.grad(attention.double_softmax_attention(q, k, v, valid).square().sum(), (q, k, v))
    theirs = torch.autograd.grad(double_by_definition(q, k, v, valid).square().sum(), (q, k, v))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("softmax", ["double", "single"])
def test_student_with_and_without_maps(small_config: StudentConfig, softmax: str) -> None:
    torch.manual_seed(0)
    student = Student(small_config.replace(reuse_softmax=softmax)).eval()
    for parameter in student.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    wavs = [torch.randn(length) for length in (16_000, 7_000)]
    results = []
    with torch.no_grad():
        for student.explicit in (True, False):
            output = student(pad_sequence(wavs, batch_first=True), [len(wav) for wav in wavs])
            results.append(torch.stack(output.hidden_states))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=0)
    assert results[0].std() > 0.1


@pytest.mark.parametrize("softmax", ["double", "single"])
@pytest.mark.parametrize(("length", "count"), [(7_000, 1), (6_000, 1), (6_000, 2)])
def test_released_batching_needs_maps_of_several_utterances_only(
    small_config: StudentConfig, softmax: str, length: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    student = Student(small_config.replace(reuse_softmax=softmax, batching="released")).eval()
    for parameter in student.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    wavs = torch.randn(count, 7_000) * (torch.arange(7_000) < length)
    student.explicit = True
    expected = torch.stack(student(wavs, [length] * count).hidden_states)
    student.explicit = False
    used = []
    with_map = attention.Attention._with_map
    monkeypatch.setattr(attention.Attention, "_with_map", lambda *given: used.append(1) or with_map(*given))
    found = torch.stack(student(wavs, [length] * count).hidden_states)
    assert bool(used) == (count > 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("softmax", ["double", "single"])
def test_a_kept_map_and_a_recomputed_one(
    small_config: StudentConfig, softmax: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    student = Student(small_config.replace(reuse_softmax=softmax)).eval()
    for parameter in student.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    wav = torch.randn(1, 9_000)
    results = []
    with torch.no_grad():
        for limit in (0, 1 << 22):
            monkeypatch.setattr(encoder, "KEPT_MAP", limit)
            results.append(torch.stack(student(wav, [9_000]).hidden_states))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("softmax", ["double", "single"])
def test_no_square_map_is_made_for_a_long_utterance(small_config: StudentConfig, softmax: str) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, (tuple, list)) else (out,):
                if isinstance(tensor, torch.Tensor):
                    self.elements = max(self.elements, tensor.numel())
            return out

    student = Student(small_config.replace(reuse_softmax=softmax)).eval()
    hundred_seconds = torch.randn(1, 1_600_000)
    with torch.no_grad(), Largest() as largest:
        student(hundred_seconds, [1_600_000])
    # fp64 windows of the folded GroupNorm: 10 values for every 5 samples.
    assert largest.elements <= 2 * 1_600_000 < 5_000 * 5_000


def test_fp16_scores_do_not_overflow(small_config: StudentConfig) -> None:
    """Large inner products leave fp16's range without the softmax in fp32; no feature may be NaN or inf."""
    torch.manual_seed(0)
    for softmax in ("double", "single"):
        student = Student(small_config.replace(reuse_softmax=softmax)).eval()
        for layer in student.encoder.layers:
            for name, parameter in layer.self_attn.named_parameters():
                if name.startswith(("q_proj.weight", "k_proj.weight")):
                    torch.nn.init.normal_(parameter, std=1.0)
        for dtype in (torch.float16, torch.bfloat16):
            with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
                output = student(torch.randn(1, 8_000) * 0.9, [8_000])
            assert all(torch.isfinite(hidden).all() for hidden in output.hidden_states)
