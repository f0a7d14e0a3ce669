"""Learning rates tried on dev."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import noise
import pytest

from downstream_runs.cli import main as cli
from downstream_runs.core import results
from downstream_runs.engine import run, run_dir, session
from downstream_runs.launch import grid, sweep
from reports import store
from upstream_arm.common.errors import RunFailed
from upstream_arm.common.files import sha256_file


def row_of(tmp_path: Path, *rates: float) -> grid.Row:
    noise.make_corpus(tmp_path / "data")
    runner = {"total_steps": 4, "eval_step": 4}
    return grid.Row(noise.tiny_plan(tmp_path / "data", tmp_path / "out", runner=runner), rates)


def with_dev(plan: noise.RunPlan, value: float) -> None:
    """A finished run whose dev number is `value`."""
    path = run_dir(plan) / "result.json"
    found = results.read(path)
    metrics = tuple(
        dataclasses.replace(metric, value=value, counts={"errors": round(value), "length": 100})
        if (metric.split, metric.name) == ("dev-clean", "wer")
        else metric
        for metric in found.metrics
    )
    results.write(path, dataclasses.replace(found, metrics=metrics))


def test_the_best_on_dev_is_the_result(tmp_path: Path) -> None:
    row = row_of(tmp_path, 0.01, 0.03, 0.02)
    for plan, value in zip(row.members(), (60.0, 50.0, 50.0), strict=True):
        run(plan)
        with_dev(plan, value)
    result = sweep.finish(row)
    summary = json.loads((row.folder() / "sweep.json").read_text())
    assert summary["chosen"] == 0.03, "of equal ones the first"
    assert [(one["lr"], one["dev"]) for one in summary["tried"]] == [(0.01, 60.0), (0.03, 50.0), (0.02, 50.0)]
    assert summary["labels"] == list(result.labels) == ["demo", "shortened"]
    chosen = results.read(run_dir(row.members()[1]) / "result.json")
    assert [metric.value for metric in result.metrics] == [metric.value for metric in chosen.metrics]
    assert (
        "the learning rate 0.03 was chosen among 3 (0.01, 0.03, 0.02) by the lowest wer on dev-clean; "
        in str(result.deviations)
    )
    assert not any(text.startswith("optimizer.lr is") for text in result.deviations)
    assert "lr 0.03, the best of 3" in result.metrics[0].selection
    assert {*chosen.artefacts, "sweep.json"} == set(result.artefacts)
    assert all(sha256_file(row.folder() / name) == sha for name, sha in result.artefacts.items())
    assert sweep.finish(row) == result, "the same again"
    # Only the sweep's result is a row of a table of the folder.
    assert [path.parent for path, _ in store.find([tmp_path / "out"]).results] == [row.folder()]
    fewer = grid.Row(row.plan, row.rates[:1])
    assert sweep.finish(fewer).config["optimizer"]["lr"] == 0.01
    summary = json.loads((row.folder() / "sweep.json").read_text())
    assert len(summary["tried_by_other_commands"]) == 2


def test_a_diverged_rate_is_kept_and_not_chosen(tmp_path: Path) -> None:
    row = row_of(tmp_path, 0.01, 1e9)
    run(row.members()[0])
    with pytest.raises(RunFailed, match=r"before all have a result: .*the same command goes on"):
        sweep.finish(row)
    with pytest.raises(RunFailed, match="is nan"):
        run(row.members()[1])
    assert sweep.diverged(row.members()[1]) and not sweep.diverged(row.members()[0])
    result = sweep.finish(row)
    assert "training diverged with 1e+09" in result.deviations[-1]
    summary = json.loads((row.folder() / "sweep.json").read_text())
    assert summary["tried"][1] == {
        **dict.fromkeys(("dev", "content_sha256", "wall_seconds")),
        "lr": 1e9,
        "state": "diverged",
        "run": f"rates/{run_dir(row.members()[1]).name}",
    }
    with pytest.raises(RunFailed, match="no learning rate \\(1e\\+09 diverged\\)"):
        sweep.finish(grid.Row(row.plan, (1e9,)))


def test_the_folds_of_a_sweep(tmp_path: Path) -> None:
    row = row_of(tmp_path, 0.01, 0.02)
    # A setting that s3prl ignores stands for the fold.
    config = row.plan.task.recipes["tiny"].copy_config()
    config["downstream_expert"]["datarc"]["fold"] = "none"
    recipes = {"tiny": dataclasses.replace(row.plan.task.recipes["tiny"], config=config)}
    task = dataclasses.replace(
        row.plan.task,
        recipes={**row.plan.task.recipes, **recipes},
        folds=("fold1", "fold2"),
        fold_key="downstream_expert.datarc.fold",
    )
    row = grid.Row(dataclasses.replace(row.plan, task=task), row.rates)
    # Means of error rates over folds are no error rate, so the engine cannot write them for a WER.
    for plan in row.members():
        for unit in grid.folds(plan):
            session.run(unit)
    for unit, value in zip(row.units(), (40.0, 60.0, 50.0, 48.0), strict=True):
        with_dev(unit, value)
    for plan in row.members():
        one = results.read(run_dir(plan) / "fold1" / "result.json")
        artefacts = {
            f"{fold}/result.json": sha256_file(run_dir(plan) / fold / "result.json") for fold in task.folds
        }
        results.write(run_dir(plan) / "result.json", dataclasses.replace(one, artefacts=artefacts))
    result = sweep.finish(row)
    summary = json.loads((row.folder() / "sweep.json").read_text())
    assert [one["dev"] for one in summary["tried"]] == [50.0, 49.0]
    assert "lowest wer on dev-clean (mean over the folds)" in result.deviations[-1]
    assert "fold2/result.json" in result.artefacts and "fold2/dev-clean-best.ckpt" in result.artefacts
    assert (row.folder() / "fold2" / "dev-clean-best.ckpt").exists()


def test_the_command_line(
    command: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Two steps without a gradient are divergence, one is not.
    arguments = [*command("fbank", "asr", "--lr", "1e9,1e-2"), "-o", "runner.total_steps=4"]
    assert cli.main(arguments) == 0
    found = capfd.readouterr()
    assert "1e+09    diverged" in found.out and "<- chosen" in found.out
    assert "not done after" in found.err and "1 of 1 runs have results" in found.out
    assert found.out.count("asr of fbank [demo, shortened]: wer ") == 1
    # Neither trains again: the diverged one is not tried again and the other is done.
    assert cli.main(arguments) == 0
    assert "not done" not in capfd.readouterr().err
    assert cli.main(["status", "--out", str(tmp_path / "out")]) == 0
