"""What the command is called, and a foreign package in place of one of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from upstream_arm.common import program

CHECKOUT = Path(__file__).resolve().parents[3]


def test_in_a_checkout_it_is_the_script() -> None:
    assert program.PROGRAM == "./run_superb.sh"
    assert program.shadowed() is None


@pytest.mark.parametrize("command", [["-m", "downstream_runs", "list"], ["-c", "CONSOLE"]])
def test_another_package_called_reports(tmp_path: Path, command: list[str]) -> None:
    foreign = tmp_path / "reports"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("raise SystemExit('a foreign package was imported')")
    console = "import sys; from downstream_runs.__main__ import run; sys.exit(run())"
    done = subprocess.run(
        [sys.executable, *(console if one == "CONSOLE" else one for one in command)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{CHECKOUT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: Python finds the package 'reports' at {foreign}/__init__.py")
    assert done.stderr.count("\n") == 1


def test_without_a_checkout_it_is_the_console_command(tmp_path: Path) -> None:
    for name in ("downstream_runs", "reports", "upstream_arm"):
        (tmp_path / name).symlink_to(CHECKOUT / name)
    # The links stand for an installed package; their files must not lead back to the checkout.
    script = (
        "import importlib.util, pathlib, sys\n"
        "pathlib.Path.resolve = pathlib.Path.absolute\n"
        "from downstream_runs.cli.run import run_parser\n"
        "print(run_parser().prog)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "superb\n", done.stderr
