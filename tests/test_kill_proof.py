"""The proof by kills tells equal ends from unequal ones, and strikes every process of the command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import kill_proof
import synthetic

from downstream_runs.engine.checkpoints import write_tensors


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The same results in two folders, with a checkpoint of the same content pickled in two ways."""
    left, right = tmp_path / "calm", tmp_path / "killed"
    synthetic.make(left, "fbank", tasks=("ks", "pr"))
    weights = torch.arange(3.0)
    run = next(left.glob("fbank/ks/*"))
    write_tensors(run / "dev-best.ckpt", {"a": weights, "b": weights})
    shutil.copytree(left, right)
    write_tensors(right / run.relative_to(left) / "dev-best.ckpt", {"a": weights, "b": weights.clone()})
    return left, right


def test_equal_ends(pair: tuple[Path, Path]) -> None:
    rows = list(kill_proof.compare(*pair))
    assert [row.run.split("/")[1] for row in rows] == ["ks", "pr"]
    assert all(row.good for row in rows)
    assert rows[0].checkpoints == (1, 1) and rows[1].checkpoints == (0, 0)
    assert rows[0].predictions[0] >= 1


def test_what_differs_is_found(pair: tuple[Path, Path]) -> None:
    run = next(pair[1].glob("fbank/ks/*"))
    (run / "items.csv").write_text("metric,split,item,group,numerator,denominator\n")
    write_tensors(run / "dev-best.ckpt", {"a": torch.arange(3.0), "b": torch.tensor([0.0, 1.0, 2.0000002])})
    shutil.rmtree(next(pair[1].glob("fbank/pr/*")))
    ks, pr = kill_proof.compare(*pair)
    assert not ks.good and ks.same_numbers and ks.checkpoints == (0, 1)
    assert ks.predictions[0] == ks.predictions[1] - 1
    assert not pr.good and pr.numbers == "missing in killed"


def test_the_whole_group_is_killed(tmp_path: Path) -> None:
    child = tmp_path / "child"
    process = subprocess.Popen(["bash", "-c", f"sleep 100 & echo $! > {child}; wait"], start_new_session=True)
    while not (child.exists() and child.read_text().strip()):
        time.sleep(0.02)
    kill_proof.kill(process)
    assert process.returncode == -9
    state = Path(f"/proc/{int(child.read_text())}/stat")
    assert not state.exists() or state.read_text().split(") ")[1][0] == "Z"
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
