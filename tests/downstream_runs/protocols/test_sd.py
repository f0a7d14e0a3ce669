"""Diarisation as a whole on the demo corpus: stock s3prl's numbers, better than no training, and kills."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from downstream_runs import tasks
from downstream_runs.core import official
from downstream_runs.core.results import Result
from downstream_runs.engine import RunPlan, run, run_dir
from downstream_runs.protocols import sd
from downstream_runs.protocols.activity import SETTINGS
from downstream_runs.scoring import der, rttm
from downstream_runs.scoring.rttm import Turn
from upstream_arm.common.errors import RunFailed, UsageError

REPOSITORY = Path(__file__).parents[3]


def test_a_frame_shift_that_is_missing_or_another_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"frame_shift is missing.* 320 here"):
        sd.frame_shift(tmp_path, 320)
    (tmp_path / "frame_shift").write_text("160\n")
    with pytest.raises(RunFailed, match="says '160', the head was trained with 320"):
        sd.frame_shift(tmp_path, 320)
    assert sd.frame_shift(tmp_path, 160) == 160


def test_damaged_predictions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"cut")
    with pytest.raises(RunFailed, match=r"a\.h5 cannot be read"):
        sd.read_prediction(path)
    with h5py.File(path, "w") as file:
        file["T_hat"] = np.full((4, 2), np.nan)
    with pytest.raises(RunFailed, match="finite probabilities"):
        sd.read_prediction(path)


@pytest.mark.parametrize(("key", "value"), [("rate", 8000), ("subsampling", 2)])
def test_settings_that_scoring_does_not_know_are_refused(key: str, value: int) -> None:
    config = tasks.get("sd").recipes["superb"].copy_config()
    config["downstream_expert"]["datarc"][key] = value
    with pytest.raises(UsageError, match=f"datarc.{key} is {value}"):
        official.require(tasks.get("sd"), config)


@pytest.mark.parametrize("name", ["sd", "diarization", "speaker-diarization"])
def test_names_and_recipes(name: str) -> None:
    task = tasks.get(name)
    assert task.name == "sd"
    assert set(task.recipes) == {"superb", "paper", "demo"}
    # s3prl has no schedule for diarisation that the paper could have switched on.
    assert task.recipes["paper"].config == task.recipes["superb"].config


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader", reason="needs the demo extra: pip install 'superb-arm[demo]'")
    folder = tmp_path_factory.mktemp("data")
    tasks.get("sd").corpus.make_demo(folder)
    return folder


def plan(data: Path, out: Path, **changes: Any) -> RunPlan:
    overrides = changes.pop("overrides", {})
    fixed = {"upstream": "fbank", "recipe": "demo", "data": data, "out": out, "device": "cpu"}
    return RunPlan(**{"task": tasks.get("sd"), **fixed, "overrides": overrides, **changes})


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    wanted = plan(data, tmp_path_factory.mktemp("trained"))
    return run(wanted), run_dir(wanted)


def values(result: Result, split: str, name: str = "der") -> list[Any]:
    return [metric for metric in result.metrics if (metric.split, metric.name) == (split, name)]


@pytest.mark.slow
def test_the_official_number_is_the_lowest_of_ten_and_the_other_stands_beside_it(
    trained: tuple[Result, Path],
) -> None:
    result, folder = trained
    official, on_dev, *ten = values(result, "test")
    assert len(ten) == len(SETTINGS)
    assert (official.official, official.role) == (True, "headline")
    assert official.value == min(metric.value for metric in ten)
    assert "2 medians x 5 thresholds on test (median" in official.selection
    assert "2 medians x 5 thresholds on dev (median" in on_dev.selection
    assert "highest frame_acc on dev: step" in on_dev.selection
    assert not any(metric.official for metric in (on_dev, *ten))
    assert on_dev.value in [metric.value for metric in ten]
    assert on_dev.value >= official.value
    wrong = sum(official.counts[key] for key in ("missed_ms", "false_alarm_ms", "confused_ms"))
    assert official.value == pytest.approx(100 * wrong / official.counts["scored_ms"], abs=1e-9)
    assert official.counts["files"] == 10
    assert result.labels == ("demo", "shortened")
    assert "frame_shift" in result.artefacts
    with (folder / "items.csv").open() as file:
        items = list(csv.DictReader(file))
    assert {row["split"] for row in items} == {"test"}
    rate = sum(float(row["numerator"]) for row in items) / sum(float(row["denominator"]) for row in items)
    assert 100 * rate == pytest.approx(official.value, abs=1e-9)


@pytest.mark.slow
def test_training_beats_guessing_by_twenty_points(
    trained: tuple[Result, Path], data: Path, tmp_path: Path
) -> None:
    found = trained[0].headline("der")
    assert found is not None
    nothing = {"optimizer.lr": 0.0, "runner.total_steps": 2}
    untrained = run(plan(data, tmp_path, overrides=nothing)).headline("der")
    assert untrained is not None
    (prepared,) = (trained[1].parents[2] / "cache" / "librimix").iterdir()
    turns = rttm.read(prepared / "test" / "rttm")
    ends = {name: max(turn.end for turn in spoken) for name, spoken in turns.items()}
    silent = der.score(turns, {name: [] for name in turns}).rate
    one = der.score(turns, {name: [Turn("a", 0, end)] for name, end in ends.items()}).rate
    assert silent == 1.0
    for guess in (100 * one, 100 * silent, untrained.value):
        assert found.value < guess - 20


@pytest.mark.slow
def test_a_killed_test_goes_on_where_it_was(
    trained: tuple[Result, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = plan(data, tmp_path)
    real, done = os.replace, []

    def killed(source: Any, target: Any) -> None:
        if str(target).endswith(".h5"):
            done.append(Path(target).name)
            if len(done) == 13:
                raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(sd.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run(wanted)
    kept = {path: path.stat().st_mtime_ns for path in run_dir(wanted).rglob("predictions/*.h5")}
    # The thirteenth was written and has no name yet; it lies in `partial`, where the next run writes it anew.
    assert len([path for path in kept if "partial" not in path.parts]) == 12
    result = run(wanted)
    assert [metric.value for metric in result.metrics] == [metric.value for metric in trained[0].metrics]
    for path, changed in kept.items():
        assert "partial" in path.parts or path.stat().st_mtime_ns == changed
    assert not (run_dir(wanted) / "scoring" / "partial").exists()
    for path in (trained[1] / "scoring" / "predictions").iterdir():
        again = run_dir(wanted) / "scoring" / "predictions" / path.name
        assert again.read_bytes() == path.read_bytes()


def test_predictions_of_another_checkpoint_are_not_kept(tmp_path: Path) -> None:
    sd._claim(tmp_path, "one")
    (tmp_path / "predictions" / "a.h5").write_bytes(b"")
    sd._claim(tmp_path, "one")
    assert (tmp_path / "predictions" / "a.h5").is_file()
    sd._claim(tmp_path, "other")
    assert not (tmp_path / "predictions" / "a.h5").exists()


def s3prl(cwd: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_stock_s3prl_finds_the_same(trained: tuple[Result, Path], tmp_path: Path) -> None:
    result, folder = trained
    task = tasks.get("sd")
    config = task.recipes["demo"].copy_config()
    config["runner"]["max_keep"] = 1
    (prepared,) = (folder.parents[2] / "cache" / "librimix").iterdir()
    splits = {f"{split}_dir": str(prepared / split) for split in ("train", "dev", "test")}
    config["downstream_expert"]["loaderrc"].update(splits)
    (tmp_path / "sd.yaml").write_text(yaml.safe_dump(config))
    command = ("downstream_runs.bridge.command", "run_downstream.py", "-m")
    train = s3prl(
        tmp_path, *command, "train", "-u", "fbank", "-d", "diarization", "-c", "sd.yaml", "-p", "stock"
    )
    stock = tmp_path / "stock"
    s3prl(tmp_path, *command, "evaluate", "-t", "test", "-e", str(stock / "best-states-dev.ckpt"))

    # Frame accuracy and frame DER of dev at the end, as s3prl prints them.
    printed = [line.split() for line in train.splitlines() if line.startswith("mode dev acc")][-1]
    (last,) = [e for e in evaluations(folder) if e["step"] == 100]
    assert 100 * float(printed[3]) == pytest.approx(last["frame_acc"], rel=1e-9)
    assert 100 * float(printed[5]) == pytest.approx(last["frame_der"], rel=1e-9)

    ours = sorted((folder / "scoring" / "predictions").iterdir())
    theirs = sorted((stock / "scoring" / "predictions").iterdir())
    assert [path.name for path in ours] == [path.name for path in theirs]
    for one, other in zip(ours, theirs, strict=True):
        with h5py.File(one) as a, h5py.File(other) as b:
            assert np.array_equal(a["T_hat"][:], b["T_hat"][:])

    (stock / "list").write_text("".join(f"{path}\n" for path in theirs))
    turns = rttm.read(prepared / "test" / "rttm")
    pairs = list(zip(SETTINGS, values(result, "test")[2:], strict=True))
    # Two of the ten are enough, each is a process of its own.
    for setting, metric in (pairs[0], pairs[-1]):
        arguments = [f"--median={setting.median}", f"--threshold={setting.threshold}"]
        shift = (folder / "frame_shift").read_text().strip()
        s3prl(
            tmp_path, "s3prl.downstream.diarization.make_rttm", *arguments, f"--frame_shift={shift}",
            str(stock / "list"), str(stock / setting.file),
        )  # fmt: skip
        assert 100 * der.score(turns, rttm.read(stock / setting.file)).rate == metric.value


def evaluations(folder: Path) -> list[dict[str, Any]]:
    """Step, frame accuracy and frame DER of each evaluation of dev."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found = []
    for line in lines:
        if line.get("split") == "dev":
            scores = {name: score["value"] for name, score in line["scores"].items()}
            found.append({"step": line["step"], **scores})
    return found
