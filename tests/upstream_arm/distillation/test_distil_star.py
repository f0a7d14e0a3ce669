"""STaR's losses against sums written out, and a student made by them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_distillation
import torch

from upstream_arm.checkpoint import load_student
from upstream_arm.common.errors import UpstreamError
from upstream_arm.distillation.losses import star_loss
from upstream_arm.distillation.settings import Settings
from upstream_arm.distillation.training import RuntimeOptions, distil
from upstream_arm.presets import PRESETS
from upstream_arm.student import Student


def test_losses_are_the_sums_written_out() -> None:
    generator = torch.Generator().manual_seed(0)
    student = [torch.randn(2, 4, 3, generator=generator) for _ in range(3)]
    teacher = [torch.randn(2, 4, 5, generator=generator) for _ in range(3)]
    valid = torch.tensor([[True] * 4, [True, True, False, False]])
    layer_wise, intra_layer = [0.0] * 3, [0.0] * 3
    for layer in range(3):
        for row, count in enumerate((4, 2)):
            for i in range(count):
                for j in range(count):
                    grams = [
                        float(states[of][row, i] @ states[layer][row, j]) / states[0].shape[2]
                        for of in (layer, layer - 1)
                        for states in (student, teacher)
                    ]
                    layer_wise[layer] += (grams[0] - grams[1]) ** 2 / count**2 / 2 / 3
                    if layer:
                        intra_layer[layer] += (grams[2] - grams[3]) ** 2 / count**2 / 2 / 2
    loss = star_loss(student, teacher, valid)
    torch.testing.assert_close(loss.masked, torch.tensor(layer_wise))
    torch.testing.assert_close(loss.unmasked, torch.tensor(intra_layer))
    assert float(loss.total) == pytest.approx(sum(layer_wise) + sum(intra_layer), rel=1e-5)


def test_rotated_features_have_the_same_relations() -> None:
    states = [torch.randn(1, 6, 4) for _ in range(2)]
    rotation, _ = torch.linalg.qr(torch.randn(4, 4))
    rotated = [state @ rotation for state in states]
    assert float(star_loss(rotated, states, torch.ones(1, 6, dtype=torch.bool)).total) < 1e-9


def test_a_student_without_projections_learns_by_them(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    student = settings().student.replace(projection_dim=None)
    star = settings(student=student, objective="star", ratio=None, epochs=12, full_epochs=12)
    path = distil(star, tmp_path / "star", RuntimeOptions(device="cpu"))
    lines = tiny_distillation.records(tmp_path / "star")
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"] and "distance" not in lines[-1]["dev"]
    assert load_student(path).config.projection_dim is None
    with pytest.raises(UpstreamError, match=r"has no projections .* --objective star"):
        distil(settings(student=student), tmp_path / "full", RuntimeOptions(device="cpu"))


@pytest.mark.parametrize(("name", "millions"), [("starhubert", 22.3), ("starhubert_l", 26.6)])
def test_presets_have_the_published_sizes(name: str, millions: float) -> None:
    with torch.device("meta"):
        student = Student(PRESETS[name])
    size = sum(parameter.numel() for parameter in student.parameters()) / 1e6
    assert size == pytest.approx(millions, abs=0.06)
