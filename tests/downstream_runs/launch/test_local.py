"""Several runs as one job."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import noise
import pytest

from downstream_runs import tasks
from downstream_runs.cli import main as cli
from downstream_runs.corpora import librispeech
from downstream_runs.engine import RunPlan
from downstream_runs.launch import batch, grid, local
from upstream_arm import listings
from upstream_arm.common import devices

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
    assert "asr of fbank [demo, shortened]  wer " in found.out
    assert "asr of mfcc [demo, shortened]   wer " in found.out
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


@pytest.mark.parametrize(
    ("device", "each", "jobs", "count", "visible", "places", "said"),
    [
        ("auto", 1, 2, 0, None, [(), ()], "2 runs at a time, all on the CPU"),
        ("cpu", 1, 3, 4, None, [(), (), ()], "3 runs at a time, all on the CPU"),
        ("cuda:1", 1, 2, 2, None, [(), ()], "2 runs at a time, all on cuda:1"),
        ("auto", 1, 2, 2, None, [("0",), ("1",)], "2 at a time, on the cuda devices 0 | 1"),
        (
            "auto",
            1,
            2,
            1,
            None,
            [("0",)],
            "1 at a time, on the cuda devices 0 and not 2, for there are 1 in all and a run takes 1 (with "
            "--device cuda:0 all share that one)",
        ),
        ("cuda", 1, 3, 2, "GPU-a, GPU-b,-1", [("GPU-a",), ("GPU-b",)], "on the cuda devices GPU-a | GPU-b "),
        (
            "cuda",
            2,
            4,
            5,
            None,
            [("0", "1"), ("2", "3")],
            "2 at a time, on the cuda devices 0,1 | 2,3 and not 4",
        ),
        ("xpu", 1, 2, 2, "3,5", [("3",), ("5",)], "2 at a time, on the xpu devices 3 | 5"),
        ("cuda", 2, 2, 1, "3", [("3",)], "1 at a time, on the cuda devices 3 and not 2"),
        ("auto", 1, 2, 0, "", [(), ()], "2 runs at a time, all on the CPU"),
    ],
)
def test_no_more_jobs_than_devices(
    device: str,
    each: int,
    jobs: int,
    count: int,
    visible: str | None,
    places: list[tuple[str, ...]],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch

    kind = "xpu" if device == "xpu" else "cuda"
    there = torch.device(kind) if count else None
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: there)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)
    for variable in devices.VISIBLE.values():
        monkeypatch.delenv(variable, raising=False)
    if visible is not None:
        monkeypatch.setenv(devices.VISIBLE[kind], visible)
    plan = RunPlan(tasks.get("ks"), "demo", "fbank", tmp_path, tmp_path, device=device, devices=each)
    assert local._places(plan, jobs) == places
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_the_runs_of_a_command_do_not_look_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command saw of the corpora is in the file that each of its processes is given."""
    given: list[Any] = []

    class Process:
        exitcode = 0

        def __init__(self, target: Any, args: tuple[Any, ...]) -> None:
            given.append(args)

        def start(self) -> None:
            pass

        def is_alive(self) -> bool:
            return False

        join = start

    root = noise.make_corpus(tmp_path / "data")
    for folder, _, _ in os.walk(root):
        os.utime(folder, (0, 0))
    monkeypatch.setattr(multiprocessing.get_context("spawn"), "Process", Process)
    monkeypatch.setattr(local.worker, "headlines", lambda plan: "")
    plan = RunPlan(tasks.get("asr"), "demo", "fbank", root.parent, tmp_path / "out")
    with listings.remembering() as memory:
        assert batch.unusable([grid.Row(plan)]) == {}
        local.run_all([plan] * 2, rerun="missing", jobs=1, demo=False)
        assert not memory  # it is in the file now
    assert inspect.signature(local._child).bind(*given[0]).arguments["seen"] == given[1][5]
    asked: list[str] = []
    stat = os.stat

    def count_stat(path: Any, **options: Any) -> Any:
        asked.append(str(path))
        return stat(path, **options)

    with listings.remembering(given[0][5]):
        monkeypatch.setattr(os, "stat", count_stat)
        monkeypatch.setattr(os, "scandir", None)
        assert len(librispeech.audio_files(root, "train-clean-100")) == 10
    assert not [path for path in asked if path.endswith(".flac")]


def test_on_one_device_runs_follow_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running: list[int] = []
    most: list[int] = []

    class Process:
        exitcode = 0

        def is_alive(self) -> bool:
            most.append(len(running))
            running.pop()
            return False

        def join(self) -> None:
            pass

    def start(plan: RunPlan, rerun: str, demo: bool, words: local.Words, seen: Path | None) -> local._Active:
        assert seen is None  # no corpus was looked at
        assert words == ("0",)
        running.append(1)
        return local._Active(Process(), tmp_path / "log", words, 0.0)

    monkeypatch.setattr(devices, "accelerator", lambda: "mps")  # of which there is never a second
    monkeypatch.setattr(devices, "count", lambda kind: 1)
    monkeypatch.setattr(local, "_start", start)
    monkeypatch.setattr(local.worker, "headlines", lambda plan: "")
    plan = RunPlan(tasks.get("ks"), "demo", "fbank", tmp_path, tmp_path)
    assert len(local.run_all([plan] * 3, rerun="missing", jobs=2, demo=True)) == 3
    assert most == [1, 1, 1]
    assert "1 at a time" in capsys.readouterr().err
