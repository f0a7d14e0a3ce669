"""torch and torchaudio that do not fit: one sentence with the command, from torchaudio's refusal."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from downstream_runs.bridge import pair

BUILT_FOR_ANOTHER_CUDA = """
import torch
torch.version.cuda = "12.6"
"""


def _refused(after: str) -> subprocess.CompletedProcess[str]:
    script = BUILT_FOR_ANOTHER_CUDA + after
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)


def _needs_cuda_build() -> None:
    torch = pytest.importorskip("torch")
    if torch.version.cuda is None:
        pytest.skip("this torch is a CPU build, which torchaudio does not hold against a version of CUDA")


def test_the_bridge_says_so_before_it_imports_anything_else() -> None:
    _needs_cuda_build()
    done = _refused("from downstream_runs import bridge\nbridge.supply()")
    last = done.stderr.strip().splitlines()[-1]
    release = ".".join(importlib.metadata.version("torchaudio").split(".")[:2])
    assert last.startswith("upstream_arm.common.errors.UsageError: torch ")
    assert "different CUDA versions" in last
    assert f"--force-reinstall 'torch=={release}.*' 'torchaudio=={release}.*'`" in last


def test_a_run_ends_with_the_sentence_alone() -> None:
    _needs_cuda_build()
    done = _refused(
        "from downstream_runs.bridge.command import main\nraise SystemExit(main(['run_downstream.py', '-h']))"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: torch ") and done.stderr.count("\n") == 1


def test_the_command_of_the_pair() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "downstream_runs.bridge.pair"], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_one_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair, "installed", {"torch": "2.11.0"}.get)
    said = pair.problem()
    assert said is not None and said.startswith("torchaudio is not installed: run `") and ">=2.11" in said


def test_libraries_that_do_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torchaudio_broken.py").write_text("raise OSError('undefined symbol: _ZN\\nand more')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(pair, "NAMES", ("torch", "torchaudio_broken"))
    monkeypatch.setattr(pair, "installed", lambda name: "2.11.0+cu130")
    said = pair.problem()
    assert said is not None and "(undefined symbol: _ZN)" in said and "'torch==2.11.*'" in said


def test_an_environment_without_pip_is_uvs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair.importlib.util, "find_spec", lambda name: None)
    assert pair._install("--force-reinstall", "a==1").startswith(
        f"uv pip install --python {sys.executable} --reinstall"
    )
