"""What lists of names, seeds and learning rates stand for, and the command `plan` that shows it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import noise
import pytest

from downstream_runs import tasks
from downstream_runs.cli import main as cli
from downstream_runs.cli import plan, plans
from downstream_runs.cli.run import run_parser
from downstream_runs.core.run import RunPlan, resolve_config, run_dir
from downstream_runs.launch import grid
from upstream_arm.common.errors import UsageError


def rows(arguments: list[str]) -> tuple[grid.Row, ...]:
    return plans.rows_of(run_parser().parse(arguments))


def folded(run: RunPlan) -> RunPlan:
    key = "downstream_expert.modelrc.select"
    task = dataclasses.replace(run.task, folds=("fold1", "fold2"), fold_key=key)
    return dataclasses.replace(run, task=task)


def test_lists_of_names() -> None:
    assert plans.split("armhubert, fbank,armhubert", "upstream") == ("armhubert", "fbank")
    assert "asr" in plans.task_names("all")
    assert plans.task_names("asr,ASR") == ("asr",)
    with pytest.raises(UsageError, match="empty upstream"):
        plans.split("fbank,,mfcc", "upstream")
    with pytest.raises(UsageError, match="did you mean 'asr'"):
        plans.task_names("asr,rsa")


def test_seeds_and_rates_multiply(command: Callable[..., list[str]], tmp_path: Path) -> None:
    found = rows(command("fbank,mfcc", "asr", "--seed", "1,2", "--lr", "1e-2,0.001"))
    assert [(row.plan.upstream, row.plan.seed) for row in found] == [
        ("fbank", 1),
        ("fbank", 2),
        ("mfcc", 1),
        ("mfcc", 2),
    ]
    members = found[0].members()
    assert [plan.overrides["optimizer.lr"] for plan in members] == [0.01, 0.001]
    folders = {run_dir(unit) for row in found for unit in row.units()}
    assert len(folders) == 8
    assert all(run_dir(plan).parent == found[0].folder() / "rates" for plan in members)
    assert not (tmp_path / "out").exists()


def test_one_rate_is_no_sweep(command: Callable[..., list[str]]) -> None:
    (row,) = rows(command("fbank", "asr", "--lr", "1e-2"))
    assert row.rates == () and row.plan.overrides["optimizer.lr"] == 0.01
    (same,) = rows(command("fbank", "asr", "-o", "optimizer.lr=0.01"))
    assert same.folder() == row.folder()


@pytest.mark.parametrize("recipe", ["superb", "paper", "demo"])
def test_plain_words_are_the_settings_of_the_recipe(command: Callable[..., list[str]], recipe: str) -> None:
    keys = {"pr": "corpus.batch_size", "sd": "loaderrc.train_batchsize", "asv": "datarc.train_batch_size"}
    for task in tasks.names():
        if task == "qbe":
            continue
        bare = ["fbank", task, "--data", ".", "--recipe", recipe]
        (words,) = rows([*bare, "--steps", "7", "--batch-size", "3"])
        batch = next(key for key in words.plan.overrides if "batch" in key)
        assert batch.endswith(keys.get(task, "batch_size")) and not batch.endswith("eval_batch_size")
        (settings,) = rows([*bare, "-o", f"{batch}=3", "-o", "runner.total_steps=7"])
        assert words.plan.overrides == settings.plan.overrides
        assert words.folder() == settings.folder() != rows(bare)[0].folder()


def test_states_and_layer_reach_the_plan(
    command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    plain, *others = [
        rows(command("fbank", "asr", *given, "--lr", "1e-2,1e-3"))[0]
        for given in ((), ("--layer", "-1"), ("--states", "last_hidden_state", "--layer", "0"))
    ]
    assert len({one.folder() for one in (plain, *others)}) == 3
    assert [grid.name(one.members()[0]) for one in (plain, *others)] == [
        "fbank asr, lr 0.01",
        "fbank asr, layer -1 of hidden_states, lr 0.01",
        "fbank asr, layer 0 of last_hidden_state, lr 0.01",
    ]
    said = capsys.readouterr().err
    assert said.count("note: fbank: features are layer") == 2 and "published rows sum all" in said


def test_more_rates_go_to_the_same_sweep(command: Callable[..., list[str]]) -> None:
    (few,) = rows(command("fbank", "asr", "--lr", "1e-2,1e-3"))
    (default,) = rows(command("fbank", "asr", "--lr", "sweep"))
    assert default.rates == plans.SWEEP_RATES
    assert few.folder() == default.folder()
    assert {run_dir(plan) for plan in few.members()} < {run_dir(plan) for plan in default.members()}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--lr", "fast"], "--lr has 'fast', expected rates above 0"),
        (["--lr", "1e-2,-1"], "--lr has '-1'"),
        (["--lr", "1e-2,nan"], "--lr has 'nan'"),
        (["--lr", "1e-2", "-o", "optimizer.lr=1"], "--lr and -o optimizer.lr are the same setting"),
        (["--jobs", "0"], "--jobs: 0 was given"),
    ],
)
def test_wrong_options(command: Callable[..., list[str]], arguments: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        rows(command("fbank", "asr", *arguments))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train_split": None}, "asr trains nothing"),
        ({"selection": None, "dev_splits": ()}, "asr has no number on dev to choose by: give one rate"),
    ],
)
def test_tasks_without_a_rate_to_choose(
    command: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], says: str
) -> None:
    task = dataclasses.replace(tasks.get("asr"), **changes)
    monkeypatch.setattr(tasks, "get", lambda name: task)
    with pytest.raises(UsageError, match=says):
        rows(command("fbank", "asr", "--lr", "1e-1,1e-2"))


def test_a_block_that_only_others_have_does_not_touch_a_task(
    command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("runner.total_steps=2", "optimizer.lr=1", "specaug.adaptive=true")
    asr, qbe = rows(command("fbank", "asr,qbe", *(word for one in settings for word in ("-o", one))))
    assert asr.plan.overrides.items() >= {("runner.total_steps", 2), ("specaug.adaptive", True)}
    assert not qbe.plan.overrides
    said = capsys.readouterr().err
    assert "note: qbe's recipe has no block runner or optimizer or specaug: it is run without" in said
    assert said.count("-o runner.total_steps=2") == 1
    bare = command("fbank", "asr,qbe", "--lr", "1e-2", "--batch-size", "4")
    asr, qbe = rows(bare)
    assert qbe.rates == () and not qbe.plan.overrides
    assert asr.plan.overrides.items() >= {("downstream_expert.datarc.batch_size", 4), ("optimizer.lr", 0.01)}
    assert "qbe trains nothing: --lr, --batch-size does not touch it" in capsys.readouterr().err
    asr, qbe = rows(command("fbank", "asr,qbe", "--precision", "bf16", "--devices", "2"))
    found = [(row.plan.precision, row.plan.devices) for row in (asr, qbe)]
    assert found == [("bf16", 2), ("fp32", 1)]
    said = capsys.readouterr().err
    assert "qbe trains nothing: it is run without --devices and --precision\n" in said


def test_a_setting_that_only_others_have_does_not_touch_a_task(
    command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    heads, batch = "downstream_expert.modelrc.project_dim", "downstream_expert.datarc.train_batch_size"
    words = ("-o", f"{heads}=32", "-o", f"{batch}=2", "-o", "optimizer.eps=1e-6")
    asr, sid = rows(command("fbank", "asr,sid", *words))
    found = [{key for key in row.plan.overrides if not key.startswith("runner.")} for row in (asr, sid)]
    assert found == [{heads, "optimizer.eps"}, {batch, "optimizer.eps"}]
    said = capsys.readouterr().err
    assert f"note: asr's recipe has no setting {batch}: it is run without -o {batch}=2\n" in said
    assert f"note: sid's recipe has no setting {heads}: it is run without -o {heads}=32\n" in said
    with pytest.raises(UsageError, match=r"no setting .*projet_dim', did you mean .*project_dim"):
        resolve_config(rows(command("fbank", "asr,sid", "-o", f"{heads.replace('ject', 'jet')}=32"))[0].plan)
    with pytest.raises(UsageError, match=r"no setting .*train_batch_size"):
        resolve_config(rows(command("fbank", "asr", "-o", f"{batch}=2"))[0].plan)


@pytest.mark.parametrize(
    ("names", "key"),
    [("qbe", "runner.total_steps"), ("asr,qbe", "runer.total_steps"), ("asr,qbe", "runner.total_step")],
)
def test_a_setting_that_no_task_has(command: Callable[..., list[str]], names: str, key: str) -> None:
    with pytest.raises(UsageError, match=f"the recipe has no setting '{key}'"):
        rows(command("fbank", names, "-o", f"{key}=2"))


def test_folds_are_units(tmp_path: Path) -> None:
    row = grid.Row(folded(noise.tiny_plan(tmp_path, tmp_path / "out")), (0.1, 0.01))
    names = [grid.name(unit) for unit in row.units()]
    assert names == [
        f"fbank asr, lr {rate}, {fold}" for rate in ("0.1", "0.01") for fold in ("fold1", "fold2")
    ]
    afters = [(line.name, line.after) for line in plan.lines([row]) if line.after]
    assert afters == [
        ("fbank asr, lr 0.1: mean over 2 folds", (1, 2)),
        ("fbank asr, lr 0.01: mean over 2 folds", (4, 5)),
        ("fbank asr: best of 2 learning rates on dev", (3, 6)),
    ]


def test_the_plan_is_printed_and_nothing_is_written(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command("fbank", "asr")
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["plan", *arguments, "--lr", "1e-1,1e-2"]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:7] == ["1", "fbank", "asr,", "lr", "0.1", "2", "to"]
    assert "best of 2 learning rates on dev" in lines[3] and "1, 2" in lines[3]
    assert "0 of 2 runs are done" in lines
    assert cli.main(arguments) == 0
    capsys.readouterr()
    assert cli.main(["plan", *arguments]) == 0
    assert "1 of 1 runs are done" in capsys.readouterr().out
    assert cli.main(["plan", *arguments, "--recipe", "superb", "--lr", "0.5"]) == 0
    assert "estimate for the rest: 0.0 hours on one H100" in capsys.readouterr().out


def test_the_plan_says_what_disk_is_needed(
    command: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert cli.main(["plan", "armhubert_random", "asr,pr,qbe,ks", *folder, "--seed", "1,2"]) == 0
    out = capsys.readouterr().out
    # Two seeds of 1.7 + 0.2 + 0.2 + 0.2 GB; one search at a time; KS's pooled vectors once for both.
    assert "disk for the rest: about 39.1 GB" in out and "4.6 GB checkpoints" in out
    assert "30.0 GB QbE's features" in out and "4.5 GB armhubert_random's stored features, pooled ks" in out
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=int(300e9)))
    asked = ["plan", "armhubert_random", "asr,pr", *folder, "--features", "disk"]
    assert cli.main(asked) == 0
    out = capsys.readouterr().out
    assert out.count("367.6 GB armhubert_random's stored features, frames of LibriSpeech") == 1
    assert "300 GB: 70 GB too little; free some, or give another --out" in out
    assert cli.main([*asked, "--features-precision", "fp32"]) == 0
    assert "735.2 GB" in capsys.readouterr().out
    assert cli.main([*asked, "--features-gb", "50"]) == 0
    assert "test-clean, all that it may hold of 367.6; the rest" in (out := capsys.readouterr().out)
    assert out.count("50.0 GB armhubert_random's stored features, frames of LibriSpeech") == 1
    assert cli.main([*asked, "--features", "memory"]) == 0
    out = capsys.readouterr().out
    assert "memory of each process: 4.0 GB" in out and "all that it may hold of 367.6" in out
    assert cli.main([*asked, "--layer", "3"]) == 0
    assert "30.6 GB armhubert_random's stored features" in capsys.readouterr().out, "one layer of 12"
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=int(11e9)))
    assert cli.main(["plan", "armhubert_random", "sid", *folder]) == 0
    out = capsys.readouterr().out
    # 15,155 utterances of dev and test; 138,361 more of training, if none is of more than 8 seconds.
    assert "1.1-11.4 GB armhubert_random's stored features, pooled sid" in out and ": 1 GB too little" in out
    assert cli.main(["plan", "fbank", "asr", *folder, "--features", "off"]) == 0
    assert "too little" not in capsys.readouterr().out
