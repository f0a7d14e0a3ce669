"""Learning rates trained in one process leave the files that each leaves alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import small_student

from downstream_runs import tasks
from downstream_runs.engine import RunPlan, run, run_dir, together
from downstream_runs.engine.evaluate import evaluate
from downstream_runs.features.options import FeatureOptions
from upstream_arm.common.errors import Diverged

RATES = (1e-2, 3e-3, 1e-3)
FILES = ("metrics.jsonl", "dev-best.ckpt", "test_predict.txt", "items.csv")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small_student.register()
    folder = tmp_path_factory.mktemp("data")
    tasks.get("ks").demo(folder)
    return folder


def plan(data: Path, out: Path, rate: float, mode: str = "memory") -> RunPlan:
    steps = {"runner.total_steps": 12, "runner.log_step": 2, "runner.eval_step": 4, "runner.save_step": 2}
    return RunPlan(
        task=tasks.get("ks"),
        recipe="demo",
        upstream="small_student",
        data=data,
        out=out,
        overrides={**steps, "optimizer.lr": rate},
        features=FeatureOptions(mode),  # type: ignore[arg-type]
    )


def files(wanted: RunPlan) -> dict[str, bytes]:
    return {name: (run_dir(wanted) / name).read_bytes() for name in FILES}


def do(plans: list[RunPlan]) -> dict[float, Exception | None]:
    found: dict[float, Exception | None] = {}

    def ended(wanted: RunPlan, error: Exception | None) -> None:
        found[wanted.overrides["optimizer.lr"]] = error

    together.run(plans, rerun="missing", ended=ended)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kills", [0, 1])
def test_each_has_the_files_that_it_has_alone(
    kills: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [plan(data, tmp_path / "alone", rate) for rate in RATES]
    several = [plan(data, tmp_path / "together", rate) for rate in RATES]
    for wanted in alone:
        run(wanted)
    if kills:
        # In the second evaluation of the second run: the first has its checkpoint of that step already.
        calls = iter(range(100))

        def interrupted(*arguments: Any, **settings: Any) -> Any:
            if next(calls) == 8:
                raise KeyboardInterrupt
            return evaluate(*arguments, **settings)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("downstream_runs.engine.loop.evaluate", interrupted)
            do(several)
    assert do(several) == dict.fromkeys(RATES)
    assert [files(wanted) for wanted in several] == [files(wanted) for wanted in alone]
    assert do(several) == dict.fromkeys(RATES), "they are done"


@pytest.mark.slow
def test_one_that_diverges_does_not_stop_the_others(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from downstream_runs.engine import loop

    whole = loop.Trainer._backward

    def breaks(trainer: loop.Trainer, *arguments: Any, **settings: Any) -> float:
        if trainer.config["optimizer"]["lr"] == RATES[0] and trainer.step == 5:
            raise trainer._not_finite("loss", math.nan, ["some.wav"])
        return whole(trainer, *arguments, **settings)

    monkeypatch.setattr(loop.Trainer, "_backward", breaks)
    found = do([plan(data, tmp_path / "out", rate) for rate in RATES])
    assert isinstance(found[RATES[0]], Diverged)
    assert [found[rate] for rate in RATES[1:]] == [None, None]
    run(plan(data, tmp_path / "alone", RATES[1]))
    assert files(plan(data, tmp_path / "out", RATES[1])) == files(plan(data, tmp_path / "alone", RATES[1]))


@pytest.mark.slow
def test_without_stored_means_they_are_made_one_after_another(data: Path, tmp_path: Path) -> None:
    plans = [plan(data, tmp_path, rate, "off") for rate in RATES[:2]]
    assert do(plans) == dict.fromkeys(RATES[:2])
    assert all((run_dir(wanted) / "result.json").exists() for wanted in plans)
