"""A job of several runs that is killed at random moments ends with the numbers of an undisturbed one."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from downstream_runs.core import results

CHECKOUT = Path(__file__).parents[3]
KILLS = 4
STEPS = ("total_steps=12", "eval_step=6", "save_step=2", "log_step=2")


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "downstream_runs", *arguments],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_locks(out: Path) -> None:
    """The runs of a killed job notice that it is gone, and end."""
    for path in out.glob("*/asr/**/lock"):
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)


@pytest.mark.slow
def test_a_job_killed_at_random_moments(command: Callable[..., list[str]], tmp_path: Path) -> None:
    arguments = command("fbank,mfcc", "asr", "--lr", "1e-3,1e-2")
    arguments += [part for setting in STEPS for part in ("-o", f"runner.{setting}")]
    out = tmp_path / "out"
    chance = random.Random(11)
    killed = 0
    for _ in range(KILLS):
        process = start(arguments)
        # From the imports of the first run to the choice among the rates of the last.
        time.sleep(chance.uniform(1, 12))
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for_locks(out)
    assert killed
    assert start(arguments).wait(400) == 0
    arguments[arguments.index("--out") + 1] = str(tmp_path / "calm")
    assert start(arguments).wait(400) == 0
    found = sorted(path.relative_to(out) for path in out.glob("*/asr/**/result.json"))
    assert len(found) == 6
    for path in found:
        left, right = (results.read(folder / path) for folder in (out, tmp_path / "calm"))
        assert (left.metrics, left.steps, left.deviations) == (right.metrics, right.steps, right.deviations)
        # The weights and predictions too, bit for bit; the choice has wall-clock times in its summary.
        assert {name: sha for name, sha in left.artefacts.items() if name != "sweep.json"} == {
            name: sha for name, sha in right.artefacts.items() if name != "sweep.json"
        }
    assert not list(out.rglob("*.tmp"))
