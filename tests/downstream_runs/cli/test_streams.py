"""Commands whose output cannot be written, whose reader leaves, or that are interrupted while they start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
# Each prints something without any corpus; `{}` stands for the folder that `--out` has by default.
PRINT = (
    ("--help",),
    ("--version",),
    ("list",),
    ("plan", "fbank", "all", "--demo"),
    ("status",),
    ("logs", "fbank"),
    ("cancel", "fbank"),
    ("clean", "fbank"),
    ("check", "ks", "--data", "."),
    ("doctor",),
    ("score", "acc", "--ref", "a.tsv", "--hyp", "a.tsv"),
    ("table",),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A current folder with a run in it and something to score."""
    place = tmp_path_factory.mktemp("place")
    (place / "a.tsv").write_text("one\tyes\n")
    run = place / "runs" / "fbank" / "asr" / "superb-1"
    run.mkdir(parents=True)
    (run / "plan.json").write_text('{"upstream": "fbank", "task": "asr", "settings": {}}')
    (run / "s3prl.log").write_text("a line\n")
    return place


def start(folder: Path, *arguments: str, stdout: int | IO[Any] = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "downstream_runs", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", PRINT, ids=lambda words: words[0])
def test_output_that_cannot_be_written(arguments: tuple[str, ...], folder: Path) -> None:
    with open("/dev/full", "w") as full, start(folder, *arguments, stdout=full) as process:
        _, err = process.communicate(timeout=120)
    said = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert process.returncode == 2, err
    assert len(said) == 1 and said[0].startswith("error: the output") and "No space left" in said[0]


@pytest.mark.parametrize("arguments", PRINT, ids=lambda words: words[0])
def test_a_reader_that_leaves(arguments: tuple[str, ...], folder: Path) -> None:
    with start(folder, *arguments) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=120) == 0, err
    assert [line for line in err.splitlines() if not line.startswith("note: ")] == []


def test_closed_streams(folder: Path) -> None:
    for closed, code in ((">&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0)):
        done = subprocess.run(
            ["bash", "-c", f'exec "$0" -m downstream_runs list {closed}', sys.executable],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (code, ""), closed


@pytest.mark.parametrize("wait", [0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.2])
def test_interrupted_while_it_starts(wait: float, folder: Path) -> None:
    """Through the script, as a user has it; `doctor` imports all that a run does."""
    process = subprocess.Popen(
        [str(CHECKOUT / "run_superb.sh"), "doctor"],
        cwd=folder,
        env={**os.environ, "SUPERB_PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # Until bash has read its first lines, it has nothing to say.
    time.sleep(0.05 + wait)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    # Both are 130 to a shell: Python ends itself by the signal where it passed through an exec().
    assert process.returncode in (130, -signal.SIGINT), err
    assert "interrupted" in err and err.count("\n") == 1, err
