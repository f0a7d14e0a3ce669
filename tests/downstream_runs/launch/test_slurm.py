"""Runs through a real Slurm of one node; skipped, with the reason, where it cannot be started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_node import CannotStart, Node

from downstream_runs.cli import main as cli
from downstream_runs.core import queue, results
from downstream_runs.runs import status

CHECKOUT = Path(__file__).parents[3]
STEPS = ["total_steps=60", "eval_step=30", "save_step=5", "log_step=5"]
LONG = [part for setting in STEPS for part in ("-o", f"runner.{setting}")]
SLURM = ["--launcher", "slurm", "--slurm-time", "5", "--slurm-cpus", "1", "--slurm-partition", "debug"]
SECONDS = 240


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    pytest.importorskip("submitit", reason="submitit is not installed (the extra `slurm`)")
    with tempfile.TemporaryDirectory() as folder:
        made = Node(Path(folder))
        try:
            made.start()
            yield made
        except CannotStart as reason:
            pytest.skip(f"no Slurm can be started here: {reason}")
        finally:
            made.stop()


@pytest.fixture
def slurm(node: Node, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setenv("SLURM_CONF", str(node.conf))
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return node


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "downstream_runs", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait(good: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := good()):
        assert time.monotonic() < deadline, "it takes too long"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    return found


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    found = [
        json.loads(line)
        for path in folder.glob("asr/*/events.jsonl")
        for line in path.read_text().splitlines()
    ]
    return [line for line in found if line["event"] == name]


@pytest.mark.slow
def test_a_job_that_is_put_back_into_the_queue_goes_on(
    slurm: Node, command: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [*command("fbank,mfcc", "asr"), *LONG, *SLURM]
    first = start(arguments)
    wait(lambda: events(out / "fbank", "checkpoint"), first)
    # What Slurm sends before it preempts a job or ends it at its time limit.
    job = queue.recorded(out)[next(run for run in queue.recorded(out) if run.startswith("fbank"))].name
    slurm.run("scancel", "--signal=USR2", job)
    # The waiting command is interrupted and started again: it finds its jobs.
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=30)[0]
    assert first.returncode == 130 and "the jobs go on without this command" in said
    second = start(arguments)
    wait(lambda: events(out / "fbank", "resume"), second)
    said = second.communicate(timeout=SECONDS)[0]
    assert second.returncode == 0, said
    assert f"is job {job} of Slurm already" in said and "2 of 2 runs have results" in said
    assert "put back into the queue" in "".join(
        path.read_text() for path in (out / "logs").glob("fbank*.log")
    )
    # The same numbers as those of an undisturbed run on this machine.
    calm = arguments[: -len(SLURM)]
    calm[0] = "fbank"
    calm[calm.index("--out") + 1] = str(tmp_path / "calm")
    assert cli.main(calm) == 0
    (one,) = out.glob("fbank/asr/*/result.json")
    (other,) = (tmp_path / "calm").glob("fbank/asr/*/result.json")
    assert results.read(one).metrics == results.read(other).metrics


@pytest.mark.slow
def test_a_failing_and_a_cancelled_job(
    slurm: Node, command: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [
        *command("fbank,hubert_base", "asr"),
        "-o",
        "runner.total_steps=100000",
        *SLURM,
        "--jobs",
        "1",
    ]
    process = start(arguments)
    wait(lambda: events(out / "fbank", "checkpoint"), process)
    found = {one.upstream: one for one in status.find(out)}
    assert found["fbank"].state == "running"
    assert found["hubert_base"].state == "waiting"
    assert cli.main(["cancel", "fbank", "asr", "--out", str(out)]) == 0
    said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 1
    assert "hubert_base asr: error: " in said and "was ended from outside" in said
    found = {one.upstream: one for one in status.find(out)}
    assert (found["fbank"].state, found["hubert_base"].state) == ("stopped", "failed")


def test_options_that_slurm_refuses(
    slurm: Node, command: Callable[..., list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command("fbank", "asr"), *SLURM, "--slurm-partition", "nowhere"]) == 2
    assert "Slurm refused the jobs" in capfd.readouterr().err
    assert cli.main([*command("fbank", "asr", "--slurm-mem", "1G")]) == 2
    assert "--slurm-mem is for --launcher slurm" in capfd.readouterr().err


def test_no_slurm_here(
    command: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert cli.main([*command("fbank", "asr"), "--launcher", "slurm"]) == 2
    assert "there is no sbatch on PATH" in capfd.readouterr().err
