"""Self-distillation of unfolded students: the loss written out, and that both paths learn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_distillation
import torch

from upstream_arm.checkpoint import load_student, read
from upstream_arm.common.errors import UpstreamError
from upstream_arm.distillation.command import default_folder
from upstream_arm.distillation.losses import self_distillation_loss
from upstream_arm.distillation.objective import spread
from upstream_arm.distillation.settings import Settings
from upstream_arm.distillation.training import RuntimeOptions, distil

CPU = RuntimeOptions(device="cpu", save_every=5, validate_every=8)


def unfolded(settings: Callable[..., Settings], **changes: object) -> Settings:
    """Two blocks, three runs each."""
    student = settings().student.replace(reuse_pattern=(True, False), repeats=3)
    return settings(**{"student": student, "self_distillation": 1.0, **changes})


def test_the_loss_is_the_sum_written_out() -> None:
    generator = torch.Generator().manual_seed(0)
    deep, shallow = (torch.randn(2, 3, 4, generator=generator, requires_grad=True) for _ in range(2))
    valid = torch.tensor([[True, True, True], [True, False, False]])
    expected = 0.0
    for row, frame in ((0, 0), (0, 1), (0, 2), (1, 0)):
        p, q = (x[row, frame].detach().exp() for x in (deep, shallow))
        p, q = p / p.sum(), q / q.sum()
        expected += float((p * (p / q).log()).sum()) / 4
    loss = self_distillation_loss(deep, shallow, valid)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert deep.grad is None and shallow.grad is not None
    assert float(shallow.grad[1, 1:].abs().max()) == 0
    assert float(self_distillation_loss(deep, deep, valid).detach()) == pytest.approx(0, abs=1e-6)


def test_a_path_matches_teacher_layers_spread_evenly() -> None:
    layers = [torch.tensor(float(layer)) for layer in range(1, 13)]
    assert [int(x) for x in spread(layers, 4)] == [3, 6, 9, 12]
    assert [int(x) for x in spread(layers, 12)] == list(range(1, 13))


def test_both_paths_learn(settings: Callable[..., Settings], tmp_path: Path) -> None:
    path = distil(unfolded(settings, epochs=8, full_epochs=8), tmp_path / "run", CPU)
    lines = tiny_distillation.records(tmp_path / "run")
    first, last = (
        {**line, "shallowest": line["loss"] - line["masked"] - line["unmasked"] - line["divergence"]}
        for line in (lines[0], lines[-1])
    )
    for part in ("masked", "unmasked", "shallowest"):
        assert 0 < last[part] < 0.8 * first[part], part
    assert last["divergence"] >= 0 and "distance_last_shallowest" in last["dev"]
    assert read(path).config == load_student(path, repeats=3).config
    assert len([key for key in read(path).student_state if key.endswith("fc1.weight")]) == 2


def test_a_run_goes_on_to_the_same_student(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """States of another length would not load; the journal says that the rest is computed alike."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run = unfolded(settings, dev=())
    distil(run, whole, CPU)
    state = json.loads((whole / "state.json").read_text())
    assert state["step"] == 6
    distil(run, broken, RuntimeOptions(device="cpu", save_every=2))
    assert (whole / "metrics.jsonl").read_text() == (broken / "metrics.jsonl").read_text()


def test_without_it_one_path_is_trained_and_nothing_is_recorded_of_it(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    distil(unfolded(settings, self_distillation=0.0), tmp_path, CPU)
    last = tiny_distillation.records(tmp_path)[-1]
    assert "divergence" not in last and "distance_last_shallowest" not in last["dev"]
    assert last["loss"] == pytest.approx(last["masked"] + last["unmasked"])
    assert "self_distillation" not in settings().to_mapping()


def test_students_with_one_path_are_refused(settings: Callable[..., Settings]) -> None:
    for student in (settings().student, settings().student.replace(repeats=1)):
        with pytest.raises(UpstreamError, match="tiny has one path alone"):
            settings(student=student, self_distillation=1.0)
    with pytest.raises(UpstreamError, match="weight of self-distillation is -1"):
        unfolded(settings, self_distillation=-1)
    assert "_repeats3_self1_" in str(default_folder(unfolded(settings)))
