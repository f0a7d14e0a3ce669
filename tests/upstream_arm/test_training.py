"""Gradients and dropout in training mode."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from upstream_arm.config import StudentConfig
from upstream_arm.frontend import scale_gradient
from upstream_arm.student import Student


@pytest.mark.parametrize("softmax", ["double", "single"])
@pytest.mark.parametrize("batching", ["exact", "released"])
def test_gradients_reach_every_weight(small_config: StudentConfig, softmax: str, batching: str) -> None:
    torch.manual_seed(0)
    student = Student(small_config.replace(reuse_softmax=softmax, batching=batching)).train()
    wavs = [torch.randn(length) for length in (6_000, 4_000)]
    output = student(pad_sequence(wavs, batch_first=True), [len(wav) for wav in wavs])
    sum(hidden.square().mean() for hidden in output.hidden_states).backward()
    for name, parameter in student.named_parameters():
        if name == "mask_emb":  # used by distillation alone
            assert parameter.grad is None
            continue
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        # A key's bias shifts all scores of a row alike, which softmax does not see.
        assert name.endswith("k_proj.bias") or parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("softmax", ["double", "single"])
def test_dropout_makes_two_training_passes_differ_and_evaluation_repeat(
    small_config: StudentConfig, softmax: str
) -> None:
    torch.manual_seed(0)
    student = Student(
        small_config.replace(reuse_softmax=softmax, dropout=0.0, activation_dropout=0.0, dropout_input=0.0)
    )
    wav = torch.randn(1, 8_000)
    student.train()
    one, two = (student(wav, [8_000]).hidden_states[-1] for _ in range(2))
    assert not torch.equal(one, two)
    student.eval()
    one, two = (student(wav, [8_000]).hidden_states[-1] for _ in range(2))
    assert torch.equal(one, two)


def test_layer_gradient_scaling_is_the_authors() -> None:
    """Their factors: (n - i) / (n - i + 1) on the way through layer i, the rest through its own output."""
    x = torch.ones(3, requires_grad=True)
    scale_gradient(x, 0.25).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, torch.full((3,), 0.25))
    assert torch.equal(scale_gradient(x, 0.25), x)


def test_scaling_changes_gradients_and_not_features(small_config: StudentConfig) -> None:
    torch.manual_seed(0)
    scaled = Student(small_config).eval()
    plain = Student(small_config.replace(layer_grad_scale=False)).eval()
    plain.load_state_dict(scaled.state_dict())
    wav = torch.randn(1, 4_000)
    gradients = []
    for student in (scaled, plain):
        student(wav, [4_000]).hidden_states[0].sum().backward()
        gradient = student.encoder.layers[0].fc1.weight.grad
        assert gradient is not None
        gradients.append(gradient)
    # Six layers: the first one's output keeps 1 - 5/6 of its own loss, and its way on is scaled by 5/6.
    torch.testing.assert_close(gradients[0], gradients[1] * (1 / 6) * (5 / 6))
    with torch.no_grad():
        for one, two in zip(
            scaled(wav, [4_000]).hidden_states, plain(wav, [4_000]).hidden_states, strict=True
        ):
            assert torch.equal(one, two)


@pytest.mark.parametrize("repeats", [1, 2])
def test_every_layer_scales_what_passes_below_it(small_config: StudentConfig, repeats: int) -> None:
    """From an output down to a layer: 1 minus its own share at the output, the share of each layer passed."""
    torch.manual_seed(0)
    # No map is reused: a map passes gradients to the layer that made it, which is not scaled.
    config = small_config.replace(
        reuse_pattern=(True,) * 4, reuse_softmax="single", repeats=repeats, batching="exact"
    )
    scaled, plain = Student(config).eval(), Student(config.replace(layer_grad_scale=False)).eval()
    plain.load_state_dict(scaled.state_dict())
    wav, layers = torch.randn(1, 3_000), 4 * repeats
    shares = [(layers - layer) / (layers - layer + 1) for layer in range(1, layers)]
    assert shares[0] == (layers - 1) / layers and shares[-1] == 1 / 2
    for output in range(layers):
        found = []
        for student in (scaled, plain):
            student.zero_grad()
            student(wav, [3_000]).hidden_states[output].sum().backward()
            gradient = student.encoder.layer_norm.weight.grad  # below the first layer
            assert gradient is not None
            found.append(gradient)
        factor = math.prod(shares[: output + 1]) * (1 - shares[output] if output < len(shares) else 1)
        torch.testing.assert_close(found[0], found[1] * factor, rtol=1e-3, atol=1e-6)


def test_masked_frames_show_the_mask_embedding_alone(small_config: StudentConfig) -> None:
    torch.manual_seed(0)
    student = Student(small_config).eval()
    wav = torch.randn(2, 8_000)
    mask = torch.zeros(2, 24, dtype=torch.bool)
    mask[0, 5:15] = True
    seen: list[torch.Tensor] = []
    student.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    masked = student(wav, [8_000, 8_000], mask).hidden_states[-1]
    plain = student(wav, [8_000, 8_000]).hidden_states[-1]
    assert torch.equal(seen[0][mask], student.mask_emb.expand(10, -1))
    torch.testing.assert_close(seen[0][~mask], seen[1][~mask])
    assert not torch.allclose(masked[0], plain[0], atol=1e-3)
    torch.testing.assert_close(masked[1], plain[1], rtol=1e-4, atol=1e-5)
    masked.sum().backward()
    assert student.mask_emb.grad is not None and student.mask_emb.grad.abs().max() > 0
