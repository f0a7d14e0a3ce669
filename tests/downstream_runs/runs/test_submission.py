"""The leaderboard's zip, from runs as the engine leaves them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import noise
import pytest

from downstream_runs import tasks
from downstream_runs.cli import main as cli
from downstream_runs.core import results
from downstream_runs.core.results import Corpus, Metric, Result
from downstream_runs.corpora.iemocap import FOLDS
from downstream_runs.engine import run
from downstream_runs.launch import grid, sweep
from downstream_runs.runs import submission
from upstream_arm.common.errors import UsageError

# As s3prl's helper lays them out: s3prl 0.4.18, submit/submit.py.
WANTED = {
    "predict/pr_public/predict.ark",
    "predict/sid_public/predict.txt",
    "predict/ks_public/predict.txt",
    "predict/ic_public/predict.csv",
    *(f"predict/er_{fold}_public/predict.txt" for fold in FOLDS),
    "predict/asr_public/predict.ark",
    "predict/qbe_public/benchmark.stdlist.xml",
    "predict/sf_public/predict.ark",
    "predict/sv_public/predict.txt",
    "predict/sd_public/frame_shift",
    "predict/sd_public/scoring/predictions/one.h5",
    "predict/sd_public/scoring/predictions/two.h5",
}
FILES = {
    "pr": ["test-hyp.ark"],
    "asr": ["test-clean-noLM-hyp.ark"],
    "ks": ["test_predict.txt"],
    "qbe": ["benchmark.stdlist.xml"],
    "sid": ["test_predict.txt"],
    "asv": ["test_predict.txt"],
    "sd": ["frame_shift", "scoring/predictions/one.h5", "scoring/predictions/two.h5"],
    "ic": ["test_predict.csv"],
    "sf": ["test-hyp.ark"],
}


UNTOLD = {"upstream_checkpoint": None, "upstream_checkpoint_sha256": None}


def write_run(folder: Path, task: str, files: list[str], **changes: Any) -> None:
    """A finished run with files that say what they are."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            (folder / name).write_text(f"{task} {name}\n")
    listed = [name for name in files if not name.endswith(".h5")]
    values: dict[str, Any] = {
        "upstream": "armhubert",
        "task": task,
        "recipe": "superb",
        "labels": (),
        "deviations": (),
        "metrics": (Metric("acc", 50.0, "percent", "higher", {}, "test", "best on dev", True, "headline"),),
        "command": ("x",),
        "config": {},
        "seed": 1337,
        "steps": 1,
        "packages": {},
        "git_commit": None,
        "upstream_checkpoint": "weights.ckpt",
        "upstream_checkpoint_sha256": "a" * 64,
        "upstream_switches": {},
        "device": "cpu",
        "wall_seconds": 1.0,
        "corpus": Corpus("made", "/data", {"test": 2}, "b" * 64),
        "artefacts": {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in listed},
        "created": "2026-01-02T03:04:05+00:00",
    }
    results.write(folder / "result.json", Result(**{**values, **changes}))


def write_task(runs: Path, task: str, recipe: str = "superb", digest: str = "0" * 8, **changes: Any) -> Path:
    folder = runs / "armhubert" / task / f"{recipe}-{digest}"
    if task == "er":
        for fold in FOLDS:
            write_run(folder / fold, task, [f"test_{fold}_predict.txt"], **changes)
        write_run(folder, task, [f"{fold}/result.json" for fold in FOLDS], **changes)
    else:
        write_run(folder, task, FILES[task], **changes)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for task in [*FILES, "er"]:
        write_task(folder, task)
    return folder


def test_it_has_every_task() -> None:
    assert set(submission.submitted()) == set(tasks.ORDER)


def test_the_zip_is_what_the_leaderboard_takes(runs: Path) -> None:
    path = submission.submit("armhubert", runs)
    assert path == runs / "armhubert" / "predict.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == WANTED
        assert archive.read("predict/sv_public/predict.txt") == b"asv test_predict.txt\n"
        assert archive.read("predict/er_fold3_public/predict.txt") == b"er test_fold3_predict.txt\n"
    first = path.read_bytes()
    for file in runs.rglob("*.txt"):
        file.touch()
    assert submission.submit("armhubert", runs).read_bytes() == first


def nothing_written(runs: Path) -> bool:
    return not [path for path in (runs / "armhubert").iterdir() if path.is_file()]


def test_all_that_is_missing_is_named_at_once(runs: Path) -> None:
    shutil.rmtree(runs / "armhubert" / "ks")
    (runs / "armhubert" / "pr" / "superb-00000000" / "result.json").unlink()
    (runs / "armhubert" / "er" / "superb-00000000" / "fold4" / "result.json").unlink()
    (runs / "armhubert" / "sd" / "superb-00000000" / "scoring" / "predictions" / "two.h5").unlink()
    (runs / "armhubert" / "ic" / "superb-00000000" / "test_predict.csv").write_text("other\n")
    (runs / "armhubert" / "qbe" / "superb-00000000" / "benchmark.stdlist.xml").unlink()
    with pytest.raises(UsageError) as told:
        submission.submit("armhubert", runs)
    head, *lines = str(told.value).splitlines()
    assert head == "no predict.zip was written, armhubert is not ready for it:"
    for line, wanted in zip(
        lines,
        [
            "pr: .*superb-00000000 has not been finished; run ./run_superb.sh armhubert pr --recipe superb",
            "ks: .*holds no run of recipe superb",
            "qbe: .*benchmark.stdlist.xml is missing",
            "sd: .*holds predictions of 1 mixtures, 2 were expected",
            "ic: .*test_predict.csv is not the file that .*result.json was made from",
            "er: fold4 of .* is missing; all folds or no number",
        ],
        strict=True,
    ):
        assert re.match(f"  {wanted}", line), line
    assert nothing_written(runs)


def test_a_changed_fold_is_noticed(runs: Path) -> None:
    fold = runs / "armhubert" / "er" / "superb-00000000" / "fold2"
    (fold / "test_fold2_predict.txt").write_text("other\n")
    with pytest.raises(UsageError, match=r"er: .*test_fold2_predict\.txt is not the file"):
        submission.submit("armhubert", runs)


def test_labelled_runs_need_to_be_asked_for_and_stay_labelled(runs: Path) -> None:
    write_task(runs, "sid", labels=("demo", "shortened"))
    with pytest.raises(UsageError, match=r"sid: .* is labelled demo, shortened, .* use --labelled"):
        submission.submit("armhubert", runs)
    assert nothing_written(runs)
    path = submission.submit("armhubert", runs, labelled=True)
    assert path.name == "predict-demo-shortened.zip"
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == {*WANTED, "predict/README.txt"}
        text = archive.read("predict/README.txt").decode()
    assert "labelled demo and shortened: they are no entry" in text
    assert "sid: demo, shortened\n" in text and "asr: none\n" in text


def test_two_runs_of_a_task_are_a_question(runs: Path) -> None:
    other = write_task(runs, "ks", digest="1" * 8)
    with pytest.raises(UsageError, match=r"ks: .* holds 2 runs \(superb-00000000, superb-11111111\)"):
        submission.submit("armhubert", runs)
    (other / "test_predict.txt").write_text("chosen\n")
    write_task(runs, "ks", digest="1" * 8)
    path = submission.submit("armhubert", runs, chosen=[other])
    with zipfile.ZipFile(path) as archive:
        assert archive.read("predict/ks_public/predict.txt") == b"chosen\n"


def test_the_run_that_a_sweep_has_chosen_is_taken(tmp_path: Path) -> None:
    noise.make_corpus(tmp_path / "data")
    runner = {"total_steps": 2, "eval_step": 2}
    plan = noise.tiny_plan(tmp_path / "data", tmp_path / "runs", runner=runner)
    row = grid.Row(plan, (0.01, 0.02))
    for member in row.members():
        run(member)
    sweep.finish(row)
    for task in [*FILES, "er"]:
        if task != "asr":
            write_task(tmp_path / "runs", task, "tiny", upstream="fbank", **UNTOLD)
            (tmp_path / "runs" / "armhubert" / task).rename(tmp_path / "runs" / "fbank" / task)
    path = submission.submit("fbank", tmp_path / "runs", recipe="tiny", labelled=True)
    with zipfile.ZipFile(path) as archive:
        written = archive.read("predict/asr_public/predict.ark")
    summary = json.loads((row.folder() / "sweep.json").read_text())
    chosen = row.folder() / next(one["run"] for one in summary["tried"] if one["lr"] == summary["chosen"])
    assert written == (chosen / "test-clean-noLM-hyp.ark").read_bytes()
    # By its folder too, and beside a run without a sweep only so.
    given = {"recipe": "tiny", "labelled": True, "chosen": [row.folder()]}
    assert submission.submit("fbank", tmp_path / "runs", **given) == path
    run(plan)
    with pytest.raises(UsageError, match=r"asr: .* holds 2 runs \(tiny-[0-9a-f]+, tiny-[0-9a-f]+-sweep\)"):
        submission.submit("fbank", tmp_path / "runs", recipe="tiny", labelled=True)
    # Another result in the place of the chosen one, or none any more.
    other = results.read(chosen / "result.json")
    results.write(chosen / "result.json", dataclasses.replace(other, seed=7))
    with pytest.raises(UsageError, match=r"is not the run that .*sweep\.json names any more"):
        submission.submit("fbank", tmp_path / "runs", **given)
    shutil.rmtree(row.folder() / "rates")
    assert submission.submit("fbank", tmp_path / "runs", **given) == path


def test_a_pipe_among_the_predictions_is_none(runs: Path) -> None:
    folder = runs / "armhubert" / "sd" / "superb-00000000" / "scoring" / "predictions"
    (folder / "two.h5").unlink()
    os.mkfifo(folder / "two.h5")
    with pytest.raises(UsageError, match="holds predictions of 1 mixtures, 2 were expected"):
        submission.submit("armhubert", runs)


def test_runs_of_different_weights_are_refused(runs: Path) -> None:
    write_task(runs, "sf", upstream_checkpoint_sha256="c" * 64)
    with pytest.raises(UsageError, match=r"the runs are of different upstream weights .*cccccccccccc: sf"):
        submission.submit("armhubert", runs)


def test_another_recipe(runs: Path) -> None:
    with pytest.raises(UsageError, match=r"asr: .*holds no run of recipe paper"):
        submission.submit("armhubert", runs, recipe="paper")


@pytest.mark.parametrize("upstream", ["armhubrt", "..", "."])
def test_an_unknown_upstream(upstream: str, runs: Path) -> None:
    with pytest.raises(UsageError, match=f"there are no runs of '{upstream}' in"):
        submission.submit(upstream, runs)


def test_the_command(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = runs / "armhubert" / "ks" / "superb-00000000" / "result.json"
    assert cli.main(["submit", "armhubert", "--out", str(runs), "--run", str(printed)]) == 0
    told = capsys.readouterr().out
    assert "predict.zip" in told and "predictions of 10 tasks" in told
