"""Learning rates tried on dev."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import noise
import pytest

from downstream_runs.cli import main as cli
from downstream_runs.core import records, results
from downstream_runs.engine import hopeless, run, run_dir, session
from downstream_runs.launch import attempt, expand, job, sweep
from downstream_runs.runs import status
from reports import store
from upstream_arm.common.errors import RunFailed
from upstream_arm.common.files import sha256_file


def row_of(tmp_path: Path, *rates: float) -> expand.Row:
    noise.make_corpus(tmp_path / "data")
    runner = {"total_steps": 4, "eval_step": 4}
    return expand.Row(noise.tiny_plan(tmp_path / "data", tmp_path / "out", runner=runner), rates)


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
    fewer = expand.Row(row.plan, row.rates[:1])
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
        sweep.finish(expand.Row(row.plan, (1e9,)))


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
    row = expand.Row(dataclasses.replace(row.plan, task=task), row.rates)
    # Means of error rates over folds are no error rate, so the engine cannot write them for a WER.
    for plan in row.members():
        for unit in expand.folds(plan):
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


def given_up_row(tmp_path: Path, margin: float = 1e-6) -> expand.Row:
    """Rates whose errors on dev differ, evaluated four times, a quarter of the steps being the first."""
    noise.make_corpus(tmp_path / "data")
    runner = {"total_steps": 8, "eval_step": 2, "save_step": 2}
    plan = noise.tiny_plan(tmp_path / "data", tmp_path / "out", runner=runner)
    return expand.Row(plan, (1e-9, 0.01), margin)


def with_values(plan: noise.RunPlan, values: dict[int, float]) -> None:
    """A journal of another run, with its errors on dev by step."""
    journal = records.Journal(run_dir(plan), ())
    run_dir(plan).mkdir(parents=True, exist_ok=True)
    for step, value in values.items():
        journal.metric("dev-clean", step, {"scores": {"wer": {"value": value}}})


def test_a_hopeless_rate_is_given_up_and_goes_on_without_the_option(tmp_path: Path) -> None:
    row = given_up_row(tmp_path)
    bad, good = row.members()
    run(good)
    # Better than any run can be, from step 4 on: at step 2 there is nothing to compare with.
    (run_dir(good) / "metrics.jsonl").unlink()
    with_values(good, {4: -5.0, 6: -5.0, 8: -5.0})
    with pytest.raises(hopeless.Hopeless, match=r"given up at step 4 of 8: wer on dev-clean .* -5\.00"):
        run(bad)
    event = sweep.stopped(bad)
    assert event is not None and (event["step"], event["best"], event["rival"]) == (
        4,
        -5.0,
        run_dir(good).name,
    )
    assert status.of_run(run_dir(bad)).state == "hopeless"
    # A kill between the checkpoint and the question changes nothing: the question comes first.
    (run_dir(bad) / "events.jsonl").write_text('{"event": "start", "step": 0}\n')
    with pytest.raises(hopeless.Hopeless, match="at step 4 of 8"):
        run(bad)

    result = sweep.finish(row)
    summary = json.loads((row.folder() / "sweep.json").read_text())
    assert summary["chosen"] == 0.01
    tried = summary["tried"][0]
    assert (tried["state"], tried["dev"]) == ("stopped", event["value"])
    assert tried["stopped"] == {
        **{"step": 4, "total": 8, "best": -5.0, "rival": run_dir(good).name},
        **{"margin": 1e-6, "after": 0.25},
    }
    assert "chosen among 2 (1e-09, 0.01)" in result.deviations[-1]
    assert "1e-09 at step 4 of 8 (" in result.deviations[-1] and "25% of the steps" in result.deviations[-1]
    assert "the best of 2 by lowest wer on dev-clean, 1 of them stopped early" in result.metrics[0].selection
    assert "when stopped at step 4 of 8" in sweep.table(summary)

    # The same command does not begin it again; without the option it goes on.
    asked: list[noise.RunPlan] = []

    def launch(plans: Sequence[noise.RunPlan]) -> list[attempt.Outcome]:
        asked.extend(plans)
        return [attempt.Outcome(plan, 0, "", tmp_path, 0.0) for plan in plans]

    job.run([row], "missing", launch)
    assert asked == [good]
    job.run([expand.Row(row.plan, row.rates)], "missing", launch)
    assert len(asked) == 3
    # Once something was done with it, it is a run like any other.
    records.Journal(run_dir(bad), ()).event("resume", 4)
    assert sweep.stopped(bad) is None and status.of_run(run_dir(bad)).state != "hopeless"
    run(expand.Row(row.plan, row.rates).members()[0])
    assert sweep.stopped(bad) is None and status.of_run(run_dir(bad)).state == "done"


def test_what_is_hopeless(tmp_path: Path) -> None:
    row = given_up_row(tmp_path, margin=10.0)
    bad, good = row.members()
    with_values(bad, {2: 50.0, 4: 60.0, 8: 90.0})
    with_values(good, {2: 39.9, 4: 50.0, 8: 10.0})
    assert bad.rivals is not None

    def asked(step: int, total: int = 8) -> object:
        assert bad.rivals is not None
        return hopeless.check(bad.task, bad.rivals, run_dir(bad), None, step, total)

    assert asked(2) is not None, "10.1 points behind"
    assert asked(2, total=9) is None, "a quarter of the steps is not done"
    assert asked(4) is None, "no more than 10 points behind"
    assert asked(6) is None, "nobody was evaluated there"
    assert asked(8) is None, "nothing is left to be saved"
    # One that diverged is nothing to be measured by.
    records.Journal(run_dir(good), ()).event("not_finite", 5)
    assert asked(2) is None


def test_a_fold_of_a_hopeless_rate_takes_the_others_with_it(tmp_path: Path) -> None:
    row = given_up_row(tmp_path)
    task = dataclasses.replace(row.plan.task, folds=("fold1", "fold2"))
    bad, good = row.members()
    assert bad.rivals is not None
    folders = [run_dir(bad) / "fold1", run_dir(bad) / "fold2", run_dir(good) / "fold1"]
    for folder, value in zip(folders, (80.0, 1.0, 20.0), strict=True):
        folder.mkdir(parents=True)
        records.Journal(folder, ()).metric("dev-clean", 4, {"scores": {"wer": {"value": value}}})
    found = hopeless.check(task, bad.rivals, folders[0], "fold1", 4, 8)
    assert found is not None and found["best"] == 20.0
    assert hopeless.check(task, bad.rivals, folders[1], "fold2", 4, 8) is None
    records.Journal(folders[0], ()).event(hopeless.EVENT, 4, **found)
    found = hopeless.check(task, bad.rivals, folders[1], "fold2", 0, 8)
    assert found is not None and found["fold"] == "fold1"
    assert "fold1" in hopeless.sentence(found, 0)


def test_the_recipes_own_rate_comes_first(tmp_path: Path) -> None:
    row = given_up_row(tmp_path)
    row = expand.Row(row.plan, (1.0, 1e-5, 0.02), 10.0)
    assert [unit.overrides["optimizer.lr"] for unit in job._ordered(row)] == [0.02, 1.0, 1e-5]
    row = expand.Row(row.plan, row.rates)
    assert [unit.overrides["optimizer.lr"] for unit in job._ordered(row)] == [1.0, 1e-5, 0.02]
    assert all(plan.rivals is None for plan in row.members())


def test_the_command_line(
    command: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Two steps without a gradient are divergence, one is not.
    arguments = [*command("fbank", "asr", "--lr", "1e9,1e-2"), "-o", "runner.total_steps=4"]
    assert cli.main(arguments) == 0
    found = capfd.readouterr()
    assert "1e+09    diverged" in found.out and "<- chosen" in found.out
    assert "not done after" in found.err and "1 of 1 runs have results" in found.out
    assert found.out.count("| fbank [demo, shortened] |") == 1
    # Neither trains again: the diverged one is not tried again and the other is done.
    assert cli.main(arguments) == 0
    assert "not done" not in capfd.readouterr().err
    assert cli.main(["status", "--out", str(tmp_path / "out")]) == 0
    assert cli.main([*arguments, "--lr", "1e-2", "--stop-hopeless"]) == 2
    assert "--stop-hopeless is for several learning rates" in capfd.readouterr().err
    assert cli.main([*arguments, "--stop-hopeless", "-1"]) == 2
    assert "expected points above 0" in capfd.readouterr().err
