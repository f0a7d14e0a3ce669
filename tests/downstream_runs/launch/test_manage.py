"""Logs of runs, stopping and deleting them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from downstream_runs import cli, status

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
