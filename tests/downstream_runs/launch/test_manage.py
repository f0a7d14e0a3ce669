"""Logs of runs, stopping and deleting them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import noise
import pytest

from downstream_runs.cli import main as cli
from downstream_runs.engine import run, run_dir
from downstream_runs.launch import grid, sweep
from downstream_runs.runs import status
from reports import store

CHECKOUT = Path(__file__).parents[3]


def make(out: Path, run: str = "superb-1", upstream: str = "fbank") -> Path:
    folder = out / upstream / "asr" / run
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"upstream": upstream, "task": "asr", "settings": {}}))
    (folder / "s3prl.log").write_text("first\n  10%\r 20%\rlast\n")
    return folder


def test_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "fbank-asr-superb-1.log").write_text("of the launcher\n")
    (folder / "outcome.json").write_text(json.dumps({"said": "the disk was full"}))
    assert cli.main(["logs", str(folder), "--out", str(tmp_path), "--lines", "1"]) == 0
    found = capsys.readouterr().out.splitlines()
    assert found[1::2] == ["of the launcher", "last"]
    assert found[-1] == "failed: the disk was full"
    assert cli.main(["logs", "fbank", "asr", "--out", str(tmp_path), "--lines", "0"]) == 0
    assert "first" in capsys.readouterr().out
    assert cli.main(["logs", "fbank", "ks", "--out", str(tmp_path)]) == 2
    assert "fbank ks is no run in" in capsys.readouterr().err


def test_clean_says_what_it_deletes_and_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    gone, kept = make(out), make(out, upstream="mfcc")
    running = make(out, "superb-2")
    (running / "lock").write_text(json.dumps({"pid": os.getpid(), "host": status.socket.gethostname()}))
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "plan.json").write_text("{}")
    (foreign / "thesis.txt").write_text("years of work")
    (gone / "link").symlink_to(foreign)
    (out / "fbank" / "asr" / "superb-3").symlink_to(foreign)
    (out / "fbank" / "asr" / "notes").mkdir()
    assert cli.main(["clean", "fbank", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"delete: {gone} (stopped" in said and f"kept:   {running} (running" in said
    assert "nothing was deleted" in said and "superb-3" not in said and gone.exists()
    assert cli.main(["clean", "fbank", "--out", str(out), "--yes"]) == 0
    assert not gone.exists() and kept.exists() and running.exists()
    assert (foreign / "thesis.txt").exists() and (out / "fbank" / "asr" / "notes").exists()
    assert cli.main(["clean", str(out), "--out", str(out), "--yes"]) == 2
    assert cli.main(["clean", str(foreign), "--out", str(out), "--yes"]) == 2
    assert kept.exists()


@pytest.fixture
def er(data_dir: Path, tmp_path: Path) -> Path:
    """The engine's folder of ER: five folds, and their mean's result."""
    out = tmp_path / "out"
    shutil.copytree(data_dir / "demo_runs" / "fbank_no_cmvn" / "er", out / "fbank_no_cmvn" / "er")
    (folder,) = (out / "fbank_no_cmvn" / "er").iterdir()
    return folder


def counted(out: Path) -> list[str]:
    return [result.task for _, result in store.find([out]).results]


def test_clean_takes_the_mean_of_the_folds_along(er: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = er.parents[2]
    assert cli.main(["clean", "fbank_no_cmvn", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"delete: {er / 'result.json'} (made of the numbers" in said and "5 runs go" in said
    assert counted(out) == ["er"]
    assert cli.main(["clean", "fbank_no_cmvn", "er", "--out", str(out), "--yes"]) == 0
    assert "deleted 5 of 5 runs" in capsys.readouterr().out
    assert counted(out) == [] and not er.exists()


def test_a_mean_goes_with_one_of_its_folds(er: Path) -> None:
    out = er.parents[2]
    (er / "fold2" / "lock").write_text(json.dumps({"pid": os.getpid(), "host": status.socket.gethostname()}))
    assert cli.main(["clean", str(er / "fold4"), "--yes"]) == 0
    assert not (er / "fold4").exists() and (er / "fold2").exists()
    assert not (er / "result.json").exists() and counted(out) == []


def test_a_mean_that_was_left_alone_can_be_cleaned(er: Path) -> None:
    # As earlier versions left it: the folds deleted, their mean still counted.
    for number in range(1, 6):
        shutil.rmtree(er / f"fold{number}")
    assert cli.main(["clean", str(er / "result.json"), "--yes"]) == 0
    assert not er.exists()


def test_a_foreign_result_is_no_run(tmp_path: Path) -> None:
    folder = make(tmp_path)
    notes = tmp_path / "fbank" / "asr" / "notes"
    notes.mkdir()
    (notes / "result.json").write_text("{}")
    assert cli.main(["clean", "fbank", "--out", str(tmp_path), "--yes"]) == 0
    assert not folder.exists() and (notes / "result.json").exists()


def test_a_sweep_goes_with_the_last_of_its_rates(tmp_path: Path) -> None:
    noise.make_corpus(tmp_path / "data")
    runner = {"total_steps": 2, "eval_step": 2}
    plan = noise.tiny_plan(tmp_path / "data", tmp_path / "out", runner=runner)
    row = grid.Row(plan, (0.01, 0.02))
    for one in row.members():
        run(one)
    sweep.finish(row)
    first, second = (run_dir(one) for one in row.members())
    assert cli.main(["clean", str(first), "--yes"]) == 0
    assert not first.exists() and counted(tmp_path / "out") == ["asr"]
    assert cli.main(["clean", "fbank", "asr", "--out", str(tmp_path / "out"), "--yes"]) == 0
    assert not second.exists() and not row.folder().exists() and counted(tmp_path / "out") == []


def test_a_run_is_found_by_the_folder_or_result_that_it_printed(
    er: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    fold = er / "fold1"
    (fold / "s3prl.log").write_text("the last line\n")
    through = tmp_path / "link"
    through.symlink_to(er.parents[2])
    for given in (fold, fold / "result.json", through / fold.relative_to(er.parents[2])):
        assert cli.main(["logs", str(given)]) == 0
        assert "the last line" in capsys.readouterr().out
    assert cli.main(["cancel", str(er)]) == 0
    assert "done, nothing to stop" in capsys.readouterr().out
    assert cli.main(["logs", str(fold), "--out", str(tmp_path)]) == 2, "another folder was asked for"
    capsys.readouterr()
    # Behind a link in the folder of runs it is shown as status shows it, and never deleted.
    (tmp_path / "runs" / "fbank_no_cmvn").mkdir(parents=True)
    (tmp_path / "runs" / "fbank_no_cmvn" / "er").symlink_to(er.parent)
    assert cli.main(["logs", "fbank_no_cmvn", "er", "--out", str(tmp_path / "runs")]) == 0
    assert "the last line" in capsys.readouterr().out
    assert cli.main(["clean", "fbank_no_cmvn", "er", "--out", str(tmp_path / "runs"), "--yes"]) == 2
    assert fold.exists()


def test_a_piped_log_is_said_and_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path)
    (folder / "s3prl.log").unlink()
    os.mkfifo(folder / "s3prl.log")
    assert cli.main(["logs", str(folder), "--out", str(tmp_path)]) == 0
    assert "cannot be read: it is a named pipe" in capsys.readouterr().out


def test_cancel_stops_a_run_that_goes_on_later(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    long = [*command("fbank", "asr"), "-o", "runner.total_steps=100000"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "downstream_runs", *long], env=environment, stdout=file, stderr=file
        )
    deadline = time.monotonic() + 300
    while not list(out.glob("fbank/asr/*/checkpoints/*.pt")):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "no checkpoint within five minutes"
        time.sleep(0.2)
    assert cli.main(["cancel", "fbank", "asr", "--out", str(out)]) == 0
    assert "stopped" in capsys.readouterr().out
    assert process.wait(120) == 143
    (found,) = status.find(out)
    assert found.state == "stopped" and found.step > 0
    assert cli.main(["cancel", "fbank", "--out", str(out)]) == 0
    assert "stopped, nothing to stop" in capsys.readouterr().out


def test_the_page_escapes_and_needs_nothing_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    folder = make(out, upstream="<b>&")
    (folder / "outcome.json").write_text(json.dumps({"said": "<script>alert(1)</script>"}))
    page = tmp_path / "page.html"
    assert cli.main(["status", "--out", str(out), "--html", str(page)]) == 0
    text = page.read_text()
    assert "&lt;b&gt;&amp;" in text and "<b>&" not in text and "<script" not in text
    assert "1 failed" in text and "http" not in text and "src=" not in text
    (tmp_path / "file").touch()
    assert cli.main(["status", "--out", str(out), "--html", str(tmp_path / "file" / "x.html")]) == 2
