"""The tasks whose heads are linear around a mean train the same on pooled vectors as on all frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_student

from downstream_runs import tasks
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.engine import RunPlan, run_dir, session

STEPS = 120
POOLED = [name for name in tasks.names() if tasks.get(name).pooled]


def losses(folder: Path, split: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [
        value
        for line in lines
        if line["split"] == split
        for name, value in line["scalars"].items()
        if name.endswith("loss")
    ]


def test_the_tasks_are_superbs() -> None:
    assert POOLED == ["ks", "sid", "ic", "er"]


@pytest.mark.slow
@pytest.mark.parametrize("name", POOLED)
def test_losses_are_equal_to_rounding(name: str, tmp_path: Path) -> None:
    small_student.register()
    task = tasks.get(name)
    data = tmp_path / "data"
    task.corpus.make_demo(data)
    overrides = {"runner.total_steps": STEPS, "runner.log_step": 1, "runner.eval_step": STEPS}
    plans = [
        RunPlan(
            task=task,
            recipe="demo",
            upstream="small_student",
            data=data,
            out=tmp_path / mode,
            device="cpu",
            overrides=overrides,
            fold=task.folds[0] if task.folds else None,
            features=FeatureOptions(mode),  # type: ignore[arg-type]
        )
        for mode in ("off", "memory")
    ]
    results = [session.run(plan) for plan in plans]
    first, second = (losses(run_dir(plan), str(task.train_split)) for plan in plans)
    assert len(first) == len(second) == STEPS
    assert max(abs(one - other) for one, other in zip(first, second, strict=True)) < 1e-4
    assert first[-1] < first[0]
    headline = task.metrics[0].name
    values = [result.headline(headline) for result in results]
    assert values[0] is not None and values[1] is not None
    assert values[0].value == values[1].value
    assert results[1].config["features"] == {"kind": "pooled", "precision": "fp32"}
    assert results[0].deviations == results[1].deviations
