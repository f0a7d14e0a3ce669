"""The authors' loss value for value, the paper's against a slow spelling of equation 6, the ablations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from upstream_arm.distillation.losses import distillation_loss, layer_weights
from upstream_arm.distillation.settings import Objective


@pytest.fixture(scope="module")
def golden(data_dir: Path) -> dict[str, Tensor]:
    with np.load(data_dir / "loss_golden.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def tensors(golden: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor, Tensor]:
    student = list(golden["pred"])
    clean = list(golden["teacher_TBD"].transpose(1, 2))
    masked = list(golden["masked_teacher_TBD"].transpose(1, 2))
    mask = golden["mask"]
    return student, clean, masked, mask, torch.ones_like(mask)


def test_released_form_is_the_authors(golden: dict[str, Tensor]) -> None:
    loss = distillation_loss(*tensors(golden), form="released")
    torch.testing.assert_close(loss.total, golden["total"].float(), rtol=1e-6, atol=0)
    for part, values in (("mask", loss.masked), ("unmask", loss.unmasked)):
        torch.testing.assert_close(values[:-1].sum(), golden[f"{part}_hint_loss"].float(), rtol=1e-6, atol=0)
        torch.testing.assert_close(values[-1], golden[f"{part}_rec_loss"].float(), rtol=1e-6, atol=0)


def test_layer_to_layer_is_the_authors_validation_loss(golden: dict[str, Tensor]) -> None:
    student, clean, _, _, valid = tensors(golden)
    loss = distillation_loss(student, clean, None, None, valid, form="released", objective="layer_to_layer")
    torch.testing.assert_close(loss.total, golden["val"].float(), rtol=1e-6, atol=0)


def slow_paper_loss(
    student: list[Tensor],
    clean: list[Tensor],
    masked: list[Tensor],
    mask: Tensor,
    valid: Tensor,
    objective: Objective,
) -> float:
    """Equation 6 frame by frame."""
    total = 0.0
    for row in range(len(mask)):
        for layer, weight in enumerate(layer_weights(len(student))):
            parts: dict[bool, list[float]] = {True: [], False: []}
            for frame in range(mask.shape[1]):
                if not valid[row, frame]:
                    continue
                inside = bool(mask[row, frame]) and objective != "layer_to_layer"
                target = masked if objective == "full" and not inside else clean
                difference = student[layer][row, frame] - target[layer][row, frame]
                parts[inside].append(float(difference.square().sum().sqrt()))
            for inside, distances in parts.items():
                if distances and (inside or objective != "masked_only"):
                    total += weight * sum(distances) / len(distances) / len(mask)
    return total


@pytest.mark.parametrize("objective", ["full", "masked_only", "unmasked_from_clean", "layer_to_layer"])
def test_paper_form_is_equation_6_without_padding(golden: dict[str, Tensor], objective: Objective) -> None:
    student, clean, masked, mask, valid = tensors(golden)
    valid = valid.clone()
    valid[1, 12:] = False
    valid[2, 7:] = False
    mask = mask & valid
    mask[2] = False  # an utterance without a masked frame
    loss = distillation_loss(student, clean, masked, mask, valid, objective=objective)
    expected = slow_paper_loss(student, clean, masked, mask, valid, objective)
    assert float(loss.total) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(
        loss.total, torch.tensor(layer_weights(12)) @ (loss.masked + loss.unmasked), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("form", ["paper", "released"])
def test_only_the_full_objective_reads_the_masked_pass(golden: dict[str, Tensor], form: str) -> None:
    student, clean, masked, mask, valid = tensors(golden)
    values = {
        objective: [
            float(distillation_loss(student, clean, other, mask, valid, form=form, objective=objective).total)
            for other in (masked, clean)
        ]
        for objective in ("full", "masked_only", "unmasked_from_clean")
    }
    assert values["full"][0] != values["full"][1]
    # With the clean pass in both places, the full loss is the ablation "from clean input".
    assert values["full"][1] == values["unmasked_from_clean"][0] == values["unmasked_from_clean"][1]
    assert values["masked_only"][0] == values["masked_only"][1] < values["full"][0]


def test_gradient_is_finite_where_student_equals_teacher() -> None:
    student = torch.ones(1, 4, 3, requires_grad=True)
    mask = torch.tensor([[True, False, True, False]])
    loss = distillation_loss([student], [torch.ones(1, 4, 3)], [torch.ones(1, 4, 3)], mask, mask | True)
    loss.total.backward()
    assert student.grad is not None and bool(torch.isfinite(student.grad).all())
