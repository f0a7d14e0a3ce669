"""`extend`: a finished run that goes on ends as one that had so many steps from the start."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import noise
import pytest
import torch
from alike import same

from downstream_runs import engine
from downstream_runs.cli import main as cli
from downstream_runs.core import results
from downstream_runs.core.run import Noise, RunPlan, run_dir
from downstream_runs.runs import extend
from upstream_arm.common import files
from upstream_arm.common.errors import UsageError

Train = Callable[..., Path]
MODEL = (
    "project_dim=8",
    "RNNs.dim=[8]",
    "RNNs.dropout=[0.2]",
    "RNNs.layer_norm=[false]",
    "RNNs.proj=[false]",
)
MODEL += ("RNNs.sample_rate=[1]",)
SETTINGS = [f"downstream_expert.modelrc.{one}" for one in MODEL] + ["downstream_expert.datarc.batch_size=6"]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Trains on noise, with dropout; returns the run's folder, in `out` unless another place is given."""
    noise.make_corpus(tmp_path / "data")

    def make(steps: int, out: str = "out", *more: str, **runner: int) -> Path:
        runner = {"eval_step": 2, "save_step": 1, "log_step": 1, **runner}
        settings = [*SETTINGS, *(f"runner.{key}={value}" for key, value in runner.items())]
        words = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / out), *more]
        words += ["--device", "cpu", "--features", "off", "--steps", str(steps)]
        before = set((tmp_path / out).glob("fbank/asr/*"))
        assert cli.main(["fbank", "asr", *words, *(part for one in settings for part in ("-o", one))]) == 0
        [folder] = set((tmp_path / out).glob("fbank/asr/*")) - before
        return folder

    return make


def check_equal(extended: Path, whole: Path) -> None:
    assert extended.name == whole.name
    one, two = (results.read(folder / "result.json") for folder in (extended, whole))
    for key in ("metrics", "labels", "deviations", "config", "steps", "corpus"):
        assert getattr(one, key) == getattr(two, key), key
    assert one.artefacts.keys() == two.artefacts.keys()
    for name in ("metrics.jsonl", "plan.json", "test-clean-noLM-hyp.ark", "items.csv"):
        assert (extended / name).read_bytes() == (whole / name).read_bytes(), name
    names = sorted(path.relative_to(whole) for path in whole.rglob("*.pt"))
    assert names == sorted(path.relative_to(extended) for path in extended.rglob("*.pt"))
    for name in (*names, Path("dev-clean-best.ckpt")):
        left, right = (torch.load(folder / name, weights_only=True) for folder in (extended, whole))
        assert same(left, right), name


@pytest.mark.parametrize(
    ("runner", "first", "steps"),
    [
        ({}, 4, 6),  # evaluated at the last step in both
        ({}, 3, 6),  # the last step has no evaluation
        ({"eval_step": 5}, 3, 7),  # evaluated at the last step only because there is no other evaluation
        ({"eval_step": 9, "gradient_accumulate_steps": 2}, 3, 5),
    ],
)
def test_it_ends_as_one_run(
    train: Train,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    runner: dict[str, int],
    first: int,
    steps: int,
) -> None:
    short = train(first, **runner)
    before = {path: path.read_bytes() for path in short.rglob("*") if path.is_file()}
    assert cli.main(["extend", str(short), "--steps", str(steps)]) == 0
    path = Path(capsys.readouterr().out.splitlines()[-1].removeprefix("result: "))
    assert before == {path: path.read_bytes() for path in before}
    check_equal(path.parent, train(steps, out="whole", **runner))
    events = [json.loads(line) for line in (path.parent / "events.jsonl").read_text().splitlines()]
    assert [one["event"] for one in events].count("resume") == 1, "it did not begin anew"
    # Again: the result is there. And further.
    content = path.read_bytes()
    assert cli.main(["extend", str(short), "--steps", str(steps)]) == 0
    assert path.read_bytes() == content


def test_a_run_that_is_no_more_shortened_is_not_labelled(tmp_path: Path) -> None:
    noise.make_corpus(tmp_path / "data")

    def plan_of(steps: int, out: str) -> RunPlan:
        config = noise.tiny_config(total_steps=steps, eval_step=2, save_step=1)
        del config["scheduler"]
        plan = noise.tiny_plan(tmp_path / "data", tmp_path / out, config=config)
        superb = plan.task.recipes["superb"]
        full = {**superb.config, "runner": {**superb.config["runner"], "total_steps": 6}}
        tiny = dataclasses.replace(plan.task.recipes["tiny"], labels=())
        recipes = {**plan.task.recipes, "superb": dataclasses.replace(superb, config=full), "tiny": tiny}
        return dataclasses.replace(plan, task=dataclasses.replace(plan.task, recipes=recipes))

    short = plan_of(4, "out")
    noisy = dataclasses.replace(short, noise=Noise(5.0, tmp_path, "0" * 64))
    with pytest.raises(UsageError, match="extend the run without it"):
        extend.longer(noisy, 6)
    assert "shortened" in engine.run(short).labels
    folder = run_dir(short)
    extended = extend.extend(short, folder, 6)
    whole = engine.run(plan_of(6, "whole"))
    assert extended.labels == whole.labels == ("demo",) and extended.metrics == whole.metrics
    lines = [
        path.read_bytes() for path in tmp_path.glob("*/fbank/asr/*/metrics.jsonl") if path.parent != folder
    ]
    assert len(lines) == 2 and lines[0] == lines[1]


def test_killed_while_it_gets_its_state(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = train(4)
    real, written = files.atomic_write_bytes, []

    def kill(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) == 4:
            raise KeyboardInterrupt
        real(path, data)

    monkeypatch.setattr(extend, "atomic_write_bytes", kill)
    command = ["extend", str(short), "--steps", "6"]
    assert cli.main(command) == 130
    assert written[-1].name == "step-00000004.pt"
    monkeypatch.undo()
    assert cli.main(command) == 0
    [folder] = set((tmp_path / "out").glob("fbank/asr/*")) - {short}
    check_equal(folder, train(6, out="whole"))


def test_what_does_not_go_on(train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def says(folder: Path, *more: str) -> str:
        capsys.readouterr()
        assert cli.main(["extend", str(folder), *more]) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ") and err.count("\n") == 1
        return err

    plain = train(2)
    assert "the run has 2 steps, expected more" in says(plain, "--steps", "2")
    scheduled = train(2, "out", "--recipe", "paper", "-o", "scheduler.num_warmup_steps=1")
    assert "with_warmup follows from the number of steps (step 3 has" in says(scheduled, "--steps", "4")
    single = train(2, eval_step=5, save_step=5)
    assert "has no state that a longer run has too" in says(single, "--steps", "4")
    moved = tmp_path / "elsewhere"
    shutil.copytree(plain, moved)
    assert "is not where its command puts a run" in says(moved, "--steps", "4")
    # The corpus is another by now.
    noise_file = next((tmp_path / "data").rglob("*.flac"))
    noise_file.write_bytes(noise_file.read_bytes() + b"more")
    assert "data" in says(plain, "--steps", "4")
