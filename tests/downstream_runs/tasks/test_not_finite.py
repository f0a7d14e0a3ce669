"""A head whose weights are NaN gives no number, whatever the task: its argmax would be class 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from downstream_runs import bridge, tasks
from downstream_runs.engine import RunPlan, run, run_dir
from downstream_runs.engine.trained_run import TrainedRun
from upstream_arm.common.errors import Diverged

TRAINED = [name for name in tasks.names() if tasks.get(name).train_split is not None]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_scores_that_are_not_finite_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge.apply()
    task = tasks.get(name)
    task.corpus.make_demo(tmp_path / "data")
    keys = ("total_steps", "eval_step", "save_step", "log_step", "gradient_accumulate_steps")
    plan = RunPlan(
        task,
        "demo",
        "fbank",
        tmp_path / "data",
        tmp_path / "runs",
        device="cpu",
        overrides={f"runner.{key}": 1 for key in keys},
        fold=task.folds[0] if task.folds else None,
    )
    load = TrainedRun.load

    def spoiled(tested: TrainedRun, artefact: str) -> None:
        load(tested, artefact)
        for tensor in tested.components.downstream.parameters():
            tensor.data.fill_(float("nan"))

    monkeypatch.setattr(TrainedRun, "load", spoiled)
    with pytest.raises(Diverged, match=r"(scores|embeddings) for .+ are not finite numbers"):
        run(plan)
    assert not (run_dir(plan) / "result.json").exists()
