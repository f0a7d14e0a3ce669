"""The optimizer's step on gradients that are not finite: s3prl's, where its weights stay finite."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from downstream_runs.core.records import Journal
from downstream_runs.engine import optimization
from downstream_runs.engine.late import LateNumbers
from downstream_runs.engine.optimization import Optimization
from upstream_arm.common.errors import Diverged

CONFIG = {
    "runner": {"total_steps": 10, "gradient_clipping": 1.0},
    "optimizer": {"name": "TorchOptim", "torch_optim_name": "SGD", "lr": 1.0},
}


def stock(parameters: list[torch.nn.Parameter]) -> None:
    """What s3prl 0.4.18 does after the backward pass."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    if not math.isnan(norm):
        torch.optim.SGD(parameters, lr=1.0).step()


@pytest.mark.parametrize(("steps", "most"), [(4, 2), (240, 24), (30_000, 100), (200_000, 100)])
def test_a_short_training_ends_sooner(steps: int, most: int) -> None:
    assert optimization.most_in_a_row(steps) == most


@pytest.mark.parametrize(
    ("gradients", "skipped"),
    [
        ((0.5, 0.1), 0),
        ((30.0, -40.0), 0),
        ((math.nan, 1.0), 1),
        ((math.nan, math.inf), 1),
        ((1e30, 1e30), 0),
        ((math.inf, 1.0), None),
        ((math.inf, -math.inf), None),
    ],
)
def test_a_step_is_s3prls_or_stops_the_run(
    gradients: tuple[float, float], skipped: int | None, tmp_path: Path
) -> None:
    featurizer, downstream = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    trained = [featurizer.weight, downstream.weight]
    expected = [torch.nn.Parameter(tensor.detach().clone()) for tensor in trained]
    for tensors in (trained, expected):
        for tensor, value in zip(tensors, gradients, strict=True):
            tensor.grad = torch.full_like(tensor, value)
    modules = [featurizer, downstream]
    updates = Optimization(modules, CONFIG, scaled=False)
    stock(expected)
    if skipped is None:
        with pytest.raises(Diverged, match=r"the gradient is inf at step 1 \(utterances a\)"):
            updates.step(Journal(tmp_path, ()), LateNumbers(), 1, ["a"])
        assert not all(tensor.isfinite().all() for tensor in expected)
        return
    updates.step(Journal(tmp_path, ()), LateNumbers(), 1, ["a"])
    assert all(torch.equal(one, other) for one, other in zip(trained, expected, strict=True))
    assert (updates.skipped, updates.skipped_in_a_row) == (skipped, skipped)
    again = Optimization(modules, CONFIG, scaled=False)
    again.restore(updates.state())
    assert again.skipped == updates.skipped
    old = {key: value for key, value in updates.state().items() if key != "skipped"}
    again.restore(old)
    assert again.skipped == 0
