"""Plans: overrides, directories, and the refusal to mix two runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import noise
import pytest

from downstream_runs import tasks
from downstream_runs.core.corpus import PreparedData
from downstream_runs.core.run import check_same, identity, resolve_config
from downstream_runs.engine import RunPlan, run_dir
from upstream_arm.common.errors import UsageError

DATA = PreparedData(Path("/data"), {}, {"train": 1}, "0" * 64)


def plan(**changes: Any) -> RunPlan:
    return noise.tiny_plan(Path("data"), Path("runs"), **changes)


def test_overrides_reach_the_config_and_nothing_else() -> None:
    config = resolve_config(plan(overrides={"optimizer.lr": 1, "optimizer.weight_decay": 0.1}))
    assert config["optimizer"]["lr"] == 1.0
    assert config["optimizer"]["weight_decay"] == 0.1
    assert resolve_config(plan())["optimizer"]["lr"] == 1e-2


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("optimiser.lr", 1e-3, "did you mean 'optimizer.lr'"),
        ("runner.steps", 10, "no setting 'runner.steps'"),
        ("runner", 10, "runner is a block of settings, set them one by one: runner.total_steps is one"),
        ("runner", {}, "runner is a block of settings"),
        ("optimizer", {}, "have no optimizer.name"),
        ("runner.total_steps", "ten", "expected a value like 8"),
        ("runner.total_steps", 0, "at least 1"),
        ("optimizer.name", "__import__('os').system('x')", "expected a plain name"),
        ("scheduler.name", "a b", "expected a plain name"),
        ("downstream_expert.modelrc.select", "RNNs()", "expected a plain name"),
    ],
)
def test_a_wrong_override_is_refused(key: str, value: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("(", r"\(").replace(")", r"\)")):
        resolve_config(plan(overrides={key: value}))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"device": "tpu"}, "device 'tpu'"),
        ({"ckpt": "/nowhere/x.ckpt"}, "--ckpt /nowhere/x.ckpt is no file"),
    ],
)
def test_a_wrong_plan_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        plan(**changes)


def test_each_setting_has_its_own_directory(tmp_path: Path) -> None:
    ckpt = tmp_path / "a.ckpt"
    ckpt.write_bytes(b"weights")
    others = [
        plan(),
        plan(seed=1),
        plan(ckpt=str(ckpt)),
        plan(overrides={"optimizer.lr": 1e-3}),
        plan(upstream="mfcc"),
    ]
    assert len({run_dir(other) for other in others}) == len(others)
    assert run_dir(plan()) == run_dir(dataclasses.replace(plan(), device="cpu", command=("x",)))
    assert run_dir(plan()).parent == Path("runs/fbank/asr")
    workers = {"downstream_expert.datarc.num_workers": 3}
    assert run_dir(plan(overrides=workers)) == run_dir(plan())


def test_the_same_plan_may_go_on_and_another_may_not() -> None:
    def stored(**changes: Any) -> dict[str, Any]:
        other = plan(**changes)
        return identity(other, resolve_config(other), DATA, None)

    check_same(stored(), stored(), Path("run"))
    changed = stored(overrides={"optimizer.lr": 1e-3}, seed=3)
    with pytest.raises(UsageError, match=r"run holds a run with other seed, optimizer.lr, .*--rerun always"):
        check_same(stored(), changed, Path("run"))
    with pytest.raises(UsageError, match="other data_sha256"):
        check_same(stored(), {**stored(), "data_sha256": "1" * 64}, Path("run"))


def test_all_recipes_resolve() -> None:
    task = tasks.get("asr")
    for name in task.recipes:
        resolve_config(RunPlan(task=task, recipe=name, upstream="fbank", data=Path("d"), out=Path("o")))
