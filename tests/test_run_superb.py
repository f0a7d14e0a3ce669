"""run_superb.sh with stand-ins for Python and pip: nothing is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from script_shell import CHECKOUT, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_superb_python_is_used_as_it_is(shell: Shell) -> None:
    python = shell.fake(shell.cwd / "my env" / "python")
    code, out, err = shell.run("fbank", "asr", "--out", "a b", SUPERB_PYTHON="my env/python")
    assert (code, err) == (0, "")
    assert out == f"ran: {python} | {shell.cwd} | {shell.checkout} | -m downstream_runs fbank asr --out a b\n"
    assert not shell.env.exists()


def test_the_exit_code_is_that_of_the_command(shell: Shell) -> None:
    assert shell.run("fbank", "asr", SUPERB_PYTHON=str(shell.python), CODE="130")[0] == 130


def test_superb_python_that_is_none(shell: Shell) -> None:
    code, out, err = shell.run("fbank", "asr", SUPERB_PYTHON="/no/python")
    assert (code, out) == (2, "")
    assert "SUPERB_PYTHON is /no/python" in err and err.count("\n") == 1


def test_superb_python_without_the_packages(shell: Shell) -> None:
    code, _, err = shell.run("fbank", "asr", SUPERB_PYTHON=str(shell.python), LACKS="s3prl")
    assert code == 2
    assert f'{shell.python} -m pip install -e "{shell.checkout}[demo]"' in err and err.count("\n") == 1
    code, _, err = shell.run("test", SUPERB_PYTHON=str(shell.python), LACKS="pytest")
    assert code == 2
    assert f'"{shell.checkout}[demo,dev]"' in err


def test_an_active_environment_with_the_package_is_used(shell: Shell) -> None:
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        python = shell.fake(shell.cwd / variable / "bin" / "python")
        code, out, _ = shell.run("fbank", "asr", **{variable: str(shell.cwd / variable)})
        assert code == 0
        assert out.startswith(f"ran: {python} | ")
    assert shell.installs() == []


def test_an_active_environment_without_the_package_is_left_alone(shell: Shell) -> None:
    shell.fake(shell.cwd / "venv" / "bin" / "python").write_text("#!/bin/bash\nexit 1\n")
    code, out, _ = shell.run("fbank", "asr", VIRTUAL_ENV=str(shell.cwd / "venv"))
    assert code == 0
    assert out.startswith(f"ran: {shell.env}/bin/python | ")


def test_the_egg_info_of_the_checkout_does_not_pass_for_packages(shell: Shell) -> None:
    (shell.checkout / "superb_arm.egg-info").mkdir()
    shell.cwd = shell.checkout
    assert shell.run("fbank", "asr", SUPERB_PYTHON=str(shell.python), LACKS="s3prl")[0] == 2


def test_first_use_installs_once_and_says_so(shell: Shell) -> None:
    code, out, err = shell.run("fbank", "asr")
    assert code == 0
    assert out.startswith(f"ran: {shell.env}/bin/python | {shell.cwd} | ")
    assert f"into {shell.env}" in err and "6 GB" in err and "3 to 10 minutes" in err
    assert shell.installs() == [f"{shell.constrained} -e {shell.checkout}[demo]"]
    code, _, err = shell.run("fbank", "asr")
    assert (code, err) == (0, "")
    assert len(shell.installs()) == 1


def test_through_a_symlink(shell: Shell) -> None:
    link = shell.cwd / "superb"
    link.symlink_to(shell.script)
    code, out, _ = shell.run("fbank", "asr", script=link, SUPERB_PYTHON=str(shell.python))
    assert code == 0
    assert f"| {shell.checkout} |" in out


LIGHT = (
    ("help",),
    ("--version",),
    ("lst",),
    ("list",),
    ("doctor",),
    ("status",),
    ("logs", "fbank"),
    ("cancel", "fbank"),
    ("clean", "fbank"),
)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("fbank", "asr", "-h"), *LIGHT])
def test_light_commands_install_nothing(shell: Shell, arguments: tuple[str, ...]) -> None:
    code, out, err = shell.run(*arguments)
    assert (code, err) == (0, "")
    assert out.startswith(f"ran: {shell.python} | ")
    assert not shell.env.exists()


@pytest.mark.parametrize("arguments", [one for one in LIGHT if one not in (("doctor",), ("help",), ("lst",))])
def test_light_commands_need_the_standard_library_only(arguments: tuple[str, ...], tmp_path: Path) -> None:
    run = tmp_path / "fbank" / "asr" / "superb-1"
    run.mkdir(parents=True)
    (run / "plan.json").write_text('{"upstream": "fbank", "task": "asr", "settings": {}}')
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "jobs.jsonl").write_text(
        '{"run": "fbank/asr/superb-1", "job": "1", "log": "/x", "end": "/y", "step": 0}\n'
    )
    place = [] if arguments[0] in ("list", "--version") else ["--out", str(tmp_path)]
    done = subprocess.run(
        # -S: without the installed packages.
        [sys.executable, "-S", "-m", "downstream_runs", *arguments, *place],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no PYTHONSAFEPATH")
def test_a_folder_of_the_user_does_not_hide_a_package(tmp_path: Path) -> None:
    (tmp_path / "s3prl").mkdir()
    (tmp_path / "s3prl" / "__init__.py").touch()
    (tmp_path / "tomllib.py").write_text("raise SystemExit('a file of the user was imported')")
    (tmp_path / "superb.toml").write_text('data = "."')
    done = subprocess.run(
        [str(CHECKOUT / "run_superb.sh"), "fbank", "asr"],
        cwd=tmp_path,
        env={**os.environ, "SUPERB_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "no LibriSpeech in" in done.stderr


def test_the_tests_of_the_script_start_with_a_real_python() -> None:
    """A stand-in has every package that it is asked for, under whatever name."""
    run = subprocess.run(
        [CHECKOUT / "run_superb.sh", "test", "--version"],
        env={**os.environ, "SUPERB_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stdout[:7]) == (0, "pytest "), run.stderr


def test_the_real_command_line_through_the_script(tmp_path: Path) -> None:
    script = CHECKOUT / "run_superb.sh"
    environment = {**os.environ, "SUPERB_PYTHON": sys.executable}
    done = subprocess.run(
        [str(script), "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "UPSTREAM TASK" in done.stdout
