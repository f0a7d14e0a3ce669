"""One marked line makes an s3prl clone find our upstreams, and comes out again without a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from upstream_arm import register as module
from upstream_arm.cli import main

ROOT = Path(__file__).resolve().parents[2]
HUBS = {
    "usual": b"from json import loads\n\n\ndef options():\n    return sorted(globals())\n",
    "no last newline": b"from json import loads\ndef options():\n    return sorted(globals())",
    "other line ends": b"from json import loads\r\ndef options():\r\n    return sorted(globals())\r\n",
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def clone(folder: Path, hub: bytes = HUBS["usual"]) -> Path:
    """The skeleton of a clone: the files that matter here."""
    (folder / "s3prl" / "upstream").mkdir(parents=True)
    for name in ("__init__.py", "run_downstream.py"):
        (folder / "s3prl" / name).write_text("")
    (folder / "s3prl" / "hub.py").write_bytes(hub)
    (folder / "s3prl" / "hub.py").chmod(0o640)
    return folder


def run(*arguments: str) -> int:
    return main(["register", "--s3prl-root", *arguments])


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("hub", HUBS.values(), ids=list(HUBS))
def test_there_and_back(tmp_path: Path, hub: bytes, inside: bool) -> None:
    root = clone(tmp_path / "a b", hub)
    file = root / "s3prl" / "hub.py"
    given = str(root / "s3prl" if inside else root)
    assert run(given) == 0
    once = file.read_bytes()
    assert once.startswith(hub) and once.count(b"from upstream_arm.hub import *") == 1
    compile(once, "hub.py", "exec")
    assert run(given) == 0
    assert file.read_bytes() == once
    assert file.stat().st_mode & 0o777 == 0o640
    assert run(given, "--undo") == 0
    assert file.read_bytes() == hub
    assert run(given, "--undo") == 0
    assert sorted(path.name for path in (root / "s3prl").iterdir()) == [
        "__init__.py",
        "hub.py",
        "run_downstream.py",
        "upstream",
    ]


def test_undo_after_the_line_ends_were_changed(tmp_path: Path) -> None:
    root = clone(tmp_path, HUBS["other line ends"])
    file = root / "s3prl" / "hub.py"
    module.register(root)
    file.write_bytes(file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert module.register(root, undo=True)
    assert file.read_bytes() == HUBS["other line ends"]


def test_clone_finds_the_names(tmp_path: Path) -> None:
    """With a stand-in for `upstream_arm.hub`: what counts here is the clone's own import."""
    root = clone(tmp_path / "clone")
    package = tmp_path / "installed" / "upstream_arm"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "hub.py").write_text("__all__ = ['arm_hubert']\ndef arm_hubert(): ...\ndef helper(): ...\n")
    module.register(root)
    code = "from s3prl import hub; print('arm_hubert' in hub.options(), hasattr(hub, 'helper'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["True", "False"], done.stderr


@pytest.mark.parametrize(
    ("old", "says"),
    [
        (True, "'python run_downstream.py -u arm_hubert ...' in"),
        (False, "'s3prl run_downstream.py -u arm_hub"),
    ],
)
def test_the_command_that_works_here_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], old: bool, says: str
) -> None:
    import torchaudio

    if old:
        monkeypatch.setattr(torchaudio, "set_audio_backend", lambda backend: None, raising=False)
    else:
        monkeypatch.delattr(torchaudio, "set_audio_backend", raising=False)
    assert run(str(clone(tmp_path))) == 0
    assert says in capsys.readouterr().out


def test_other_folders_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hub.py").write_text("mine")
    for given in (tmp_path, tmp_path / "missing"):
        assert run(str(given)) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and str(given) in error and error.count("\n") == 1
    assert (tmp_path / "hub.py").read_text() == "mine"


def test_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = clone(tmp_path)
    python = tmp_path / "python"  # a Python that finds no package
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert run(str(root)) == 2
    assert "pip install -e" in capsys.readouterr().err
    assert (root / "s3prl" / "hub.py").read_bytes() == HUBS["usual"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_clone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = clone(tmp_path)
    (root / "s3prl").chmod(0o555)
    assert run(str(root)) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom upstream_arm.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'huggingface_hub', 's3prl')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    for command in ("convert", "fetch", "register", "profile"):
        assert command in done.stdout
