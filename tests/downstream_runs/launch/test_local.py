"""Several runs as one job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
import noise

from downstream_runs import cli

SHORT = ["total_steps=2", "eval_step=2", "save_step=1", "log_step=1"]
OPTIONS = [argument for setting in SHORT for argument in ("-o", f"runner.{setting}")]


def test_one_failing_run_does_not_stop_the_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise.make_corpus(tmp_path / "data")
    out = tmp_path / "out"
    command = ["fbank,hubert_base,mfcc", "asr", "--data", str(tmp_path / "data"), "--out", str(out)]
    command += ["--recipe", "demo", "--features", "off", *OPTIONS]
    code = cli.main(command)
    found = capfd.readouterr()
    assert code == 1
    assert "2 of 3 runs have results" in found.out
    assert "hubert_base asr: error: " in found.out
    assert "| fbank [demo, shortened] |" in found.out
    assert "| mfcc [demo, shortened] |" in found.out
    assert "[1/3] fbank asr: done in" in found.err
    assert "Traceback" not in found.out + found.err
    before = sorted(path.stat().st_mtime_ns for path in out.glob("*/asr/*/result.json"))
    assert len(before) == 2
    assert cli.main([*command[:1], "asr", *command[2:]]) == 1
    assert sorted(path.stat().st_mtime_ns for path in out.glob("*/asr/*/result.json")) == before


def test_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    noise.make_corpus(tmp_path / "data")
    command = [sys.executable, "-m", "downstream_runs", "fbank,mfcc", "asr", "--recipe", "demo"]
    command += [
        "--data",
        str(tmp_path / "data"),
        "--out",
        str(tmp_path / "out"),
        "-o",
        "runner.total_steps=9999",
    ]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    logs = tmp_path / "out" / "logs"
    while not list((tmp_path / "out").glob("fbank/asr/*/events.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert list(logs.glob("fbank-asr-demo-*.log"))
    children = _children(parent.pid)
    assert children
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]
