"""Mixed precision: how far from fp32 a student's features are, and what stays in fp32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from upstream_arm.config import StudentConfig
from upstream_arm.student import Student

FARTHEST = {torch.bfloat16: 0.05, torch.float16: 0.01}
"""Root mean square of a layer's differences, over that of its features; of 12 layers 0.04 and 0.005."""


class Softmaxes(TorchDispatchMode):
    """Notes the types in which a softmax is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if "softmax" in str(func):
            self.dtypes.add(found.dtype)
        return found


@pytest.mark.parametrize("dtype", list(FARTHEST))
@pytest.mark.parametrize("softmax", ["single", "double"])
@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("lengths", [[9_000, 9_000], [9_000, 5_000]], ids=["alike", "padded"])
def test_features_are_near_those_of_fp32_and_norms_and_softmax_in_fp32(
    small_config: StudentConfig, dtype: torch.dtype, softmax: str, explicit: bool, lengths: list[int]
) -> None:
    torch.manual_seed(0)
    student = Student(small_config.replace(reuse_softmax=softmax)).eval()
    for parameter in student.encoder.parameters():
        nn.init.normal_(parameter, std=0.15)
    student.explicit = explicit
    wavs = torch.randn(2, 9_000) * (torch.arange(9_000) < torch.tensor(lengths).unsqueeze(1))
    given: dict[str, set[torch.dtype]] = {}

    def note(name: str) -> Any:
        return lambda module, arguments: given.setdefault(name, set()).add(arguments[0].dtype)

    with torch.no_grad():
        expected = student(wavs, lengths).hidden_states
        norms = {
            name: one
            for name, one in student.named_modules()
            if isinstance(one, (nn.LayerNorm, nn.GroupNorm))
        }
        for name, norm in norms.items():
            norm.register_forward_pre_hook(note(name))
        with torch.autocast("cpu", dtype), Softmaxes() as softmaxes:
            found = student(wavs, lengths).hidden_states
    assert given == {name: {torch.float32} for name in norms}
    assert softmaxes.dtypes == ({torch.float32} if explicit or softmax == "double" else set())
    for one, other in zip(found, expected, strict=True):
        far = (one - other).square().mean().sqrt() / other.square().mean().sqrt()
        assert 0 < far < FARTHEST[dtype]


def test_the_fused_attentions_softmax_sums_in_fp32() -> None:
    """A sum in bf16 of as many equal numbers would stop at 256 of them."""
    frames = 4_000
    queries = torch.zeros(1, 1, frames, 8, dtype=torch.bfloat16)
    values = torch.arange(frames).remainder(2).to(torch.bfloat16)[None, None, :, None].expand(1, 1, frames, 8)
    found = F.scaled_dot_product_attention(queries, queries, values.contiguous(), scale=1.0)
    torch.testing.assert_close(found.float(), torch.full_like(found.float(), 0.5), atol=1e-3, rtol=0)
