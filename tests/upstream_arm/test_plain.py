"""Layers that someone changed are called, never read past: features with and without gradients agree."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from upstream_arm.config import StudentConfig
from upstream_arm.frontend import FrontEnd, PositionalConv
from upstream_arm.student import Projection, Student

Place = Callable[[Student], tuple[nn.Module, str]]


def _last_head(student: Student) -> tuple[nn.Module, str]:
    return cast(Projection, student.proj_head[-1]), "lin_proj"


def _a_convolution(student: Student) -> tuple[nn.Module, str]:
    return cast(nn.Sequential, student.feature_extractor.conv_layers[2]), "0"


def _norm(student: Student) -> tuple[nn.Module, str]:
    return cast(nn.Sequential, student.feature_extractor.conv_layers[0]), "2"


def _position(student: Student) -> tuple[nn.Module, str]:
    return student.encoder.pos_conv, "0"


def _whole_head(student: Student) -> tuple[nn.Module, str]:
    return student.proj_head, "0"


class Adapter(nn.Module):
    """What LoRA and other adapters do: the layer, and something beside it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layer(x)) * 1.5


class Louder(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * 1.5


def wrap(parent: nn.Module, name: str) -> None:
    setattr(parent, name, Adapter(parent.get_submodule(name)))


def hook(parent: nn.Module, name: str) -> None:
    parent.get_submodule(name).register_forward_hook(lambda module, inputs, output: output * 1.5)


def own_forward(parent: nn.Module, name: str) -> None:
    layer = parent.get_submodule(name)
    before = layer.forward
    layer.forward = lambda x: before(x) * 1.5  # type: ignore[method-assign]


def parametrized(parent: nn.Module, name: str) -> None:
    parametrize.register_parametrization(parent.get_submodule(name), "weight", Louder())


def pruned(parent: nn.Module, name: str) -> None:
    layer = parent.get_submodule(name)
    prune.random_unstructured(layer, "weight", amount=0.5)
    assert isinstance(layer.weight_orig, nn.Parameter)
    with torch.no_grad():  # a mask over a changed original shows only in a call
        layer.weight_orig.mul_(1.5)


CASES = [
    *product([_last_head, _a_convolution, _norm, _position, _whole_head], [wrap, hook, own_forward]),
    *product([_last_head, _a_convolution, _norm], [parametrized]),
    *product([_last_head, _a_convolution], [pruned]),
]


@pytest.fixture
def student(small_config: StudentConfig) -> Student:
    torch.manual_seed(0)
    student = Student(small_config).eval()
    for parameter in student.parameters():  # initial weights are too small to tell right from wrong
        nn.init.normal_(parameter, std=0.25)
    return student


def features(student: Student, gradients: bool) -> Tensor:
    """[layer, batch, frame, feature] of two utterances, one padded."""
    torch.manual_seed(1)
    wavs = torch.randn(2, 4_000)
    wavs[1, 2_500:] = 0
    with torch.set_grad_enabled(gradients):
        return torch.stack(student(wavs, [4_000, 2_500]).hidden_states).detach()


@pytest.mark.parametrize(("place", "change"), CASES)
def test_changed_layers_count_without_gradients_too(
    student: Student, place: Place, change: Callable[[nn.Module, str], None]
) -> None:
    before = features(student, False)
    change(*place(student))
    with_gradients, without = features(student, True), features(student, False)
    torch.testing.assert_close(without, with_gradients, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(before, without, atol=1e-2), "the change should show"


def test_hooks_over_all_modules_are_called(student: Student) -> None:
    seen: list[type] = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(type(module)))
    try:
        features(student, False)
    finally:
        handle.remove()
    assert {nn.Conv1d, nn.GroupNorm, PositionalConv, Projection} <= set(seen)


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization is deprecated.*")
def test_dynamic_quantisation_runs(student: Student) -> None:
    quantised = torch.ao.quantization.quantize_dynamic(student, {nn.Linear}, dtype=torch.qint8)
    plain, small = features(student, False), features(quantised, False)
    assert small.shape == plain.shape and torch.isfinite(small).all()
    assert not torch.equal(small, plain)


def test_an_unchanged_student_takes_the_short_way(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(FrontEnd, "forward", lambda *_: calls.append(1))
    features(student, False)
    assert not calls
