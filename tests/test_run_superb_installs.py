"""What run_superb.sh installs, when it does so again, and what becomes of it when it is interrupted."""

from __future__ import annotations

import configparser
import os
import signal
import time
from pathlib import Path

import pytest
from script_shell import CHECKOUT, FAKE_PYTHON, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_the_newest_python_that_works_is_taken(shell: Shell) -> None:
    newer = shell.fake(shell.bin / "python3.13")
    shell.fake(shell.bin / "python3.14").write_text("#!/bin/bash\nexit 1\n")
    assert shell.run("list")[1].startswith(f"ran: {newer} | ")
    assert f"with {newer}:" in shell.run("fbank", "asr")[2]


def test_latest_leaves_the_tested_set_out_and_stays_chosen(shell: Shell) -> None:
    code, out, _ = shell.run("--latest", "fbank", "asr")
    assert code == 0
    assert out.endswith("-m downstream_runs fbank asr\n")
    latest = f"-m pip install --progress-bar off --upgrade --upgrade-strategy eager -e {shell.checkout}[demo]"
    assert shell.installs() == [latest]
    assert shell.run("fbank", "asr")[2] == "", "the choice was not kept"
    (shell.checkout / "constraints.txt").write_text("# another set\n")
    shell.run("fbank", "asr")
    assert shell.installs() == [latest, latest]


def test_latest_brings_a_tested_environment_up_to_date(shell: Shell) -> None:
    shell.run("fbank", "asr")
    (shell.env / "kept").touch()
    assert "latest versions" in shell.run("--latest", "fbank", "asr")[2]
    assert "--upgrade" in shell.installs()[-1] and (shell.env / "kept").exists()
    assert shell.run("--latest", "fbank", "asr")[2] == ""


SMALL = (
    ("report",),
    ("table",),
    ("score", "wer"),
    ("submit", "fbank"),
    ("check",),
    ("data", "ks"),
    ("recipe", "asr"),
)


@pytest.mark.parametrize("arguments", SMALL)
def test_commands_without_torch_get_a_small_environment(shell: Shell, arguments: tuple[str, ...]) -> None:
    code, out, err = shell.run(*arguments)
    assert code == 0
    assert out.startswith(f"ran: {shell.small}/bin/python | {shell.cwd} | {shell.checkout} | ")
    assert "400 MB" in err and "torch, s3prl" not in err
    assert shell.installs() == [f"{shell.constrained} -r {shell.checkout}/reports/requirements.txt"]
    assert shell.run(*arguments)[2] == "" and len(shell.installs()) == 1
    assert not shell.env.exists()


def test_the_whole_environment_serves_them_where_it_is(shell: Shell) -> None:
    shell.run("fbank", "asr")
    assert shell.run("report")[1].startswith(f"ran: {shell.env}/bin/python | ")
    assert not shell.small.exists()


def test_the_light_list_is_a_part_of_what_the_project_needs() -> None:
    config = configparser.ConfigParser(interpolation=None)
    config.read(CHECKOUT / "setup.cfg")
    whole = config["options"]["install_requires"].splitlines()
    lines = (CHECKOUT / "reports/requirements.txt").read_text().splitlines()
    assert {line for line in lines if not line.startswith("#")} < set(whole)


def test_a_pair_that_does_not_fit_ends_the_installation(shell: Shell) -> None:
    code, out, err = shell.run("fbank", "asr", PAIR="1")
    assert (code, out) == (1, "")
    assert err.endswith("error: the pair\n") and shell.stamp.exists()


def test_through_links_of_links(shell: Shell) -> None:
    (shell.cwd / "one").symlink_to(os.path.relpath(shell.script, shell.cwd))
    (shell.cwd / "folder").mkdir()
    two = shell.cwd / "folder" / "two"
    two.symlink_to("../one")
    assert f"| {shell.checkout} |" in shell.run("list", script=two)[1]


def test_without_flock(shell: Shell) -> None:
    (shell.bin / "flock").unlink()
    assert shell.run("fbank", "asr")[0] == 0


def test_no_python(shell: Shell) -> None:
    for arguments in (("--help",), ("fbank", "asr")):
        code, out, err = shell.run(*arguments, UNSUPPORTED="1")
        assert (code, out) == (2, "")
        assert "no Python 3.10 to 3.14" in err and err.count("\n") == 1


@pytest.mark.parametrize("name", ["setup.cfg", "constraints.txt"])
def test_a_changed_list_of_packages_is_installed_again(shell: Shell, name: str) -> None:
    shell.run("fbank", "asr")
    with (shell.checkout / name).open("a") as file:
        file.write("# changed\n")
    code, _, err = shell.run("fbank", "asr")
    assert code == 0
    assert "setup.cfg or constraints.txt has changed" in err
    assert len(shell.installs()) == 2
    assert shell.run("fbank", "asr")[2] == ""


def test_test_adds_the_dev_extra_and_runs_pytest_in_the_checkout(shell: Shell) -> None:
    shell.run("fbank", "asr")
    code, out, _ = shell.run("test", "-k", "a b", CODE="5")
    assert code == 5
    ran = f"ran: {shell.env}/bin/python | {shell.checkout} | {shell.checkout}"
    assert out == f"{ran} | -m pytest -n 2 --dist loadfile -k a b\n"
    assert shell.installs()[-1].endswith("[demo,dev]")
    # What the tests need is enough for a run, and an upgrade keeps it.
    assert shell.run("fbank", "asr")[2] == ""
    (shell.checkout / "setup.cfg").write_text("")
    shell.run("fbank", "asr")
    assert shell.installs()[-1].endswith("[demo,dev]")


def test_distill_adds_its_extra_and_keeps_the_others(shell: Shell) -> None:
    shell.run("test")
    assert shell.run("distill", "--demo")[0] == 0
    assert shell.installs()[-1].endswith("[demo,dev,distill]")
    before = shell.installs()
    for command in (("distill", "--demo"), ("test",), ("fbank", "asr")):
        assert shell.run(*command)[0] == 0
    assert shell.installs() == before, "one after another installs what is there"


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (("hf:org/name", "ks"), True),
        (("fbank,hf:org/name@v1", "ks"), True),
        (("./model", "ks"), True),
        (("fbank,/models/w", "ks"), True),
        (("estimate", "hf:org/name"), True),
        (("py:./mine.py:make", "ks"), False),
        (("fetch", "hf:org/name"), False),
        (("fbank", "ks", "--out", "./runs"), False),
    ],
)
def test_a_model_of_transformers_adds_its_extra(shell: Shell, words: tuple[str, ...], needed: bool) -> None:
    assert shell.run(*words)[0] == 0
    assert shell.installs()[-1].endswith("[demo,hf]" if needed else "[demo]")


def test_a_failed_installation_is_not_taken_for_good(shell: Shell) -> None:
    code, out, err = shell.run("fbank", "asr", PIP="bad")
    assert (code, out) == (1, "")
    assert "  | ERROR: no network\n" in err and "failed (its last lines are above" in err
    assert not shell.stamp.exists()
    (shell.env / "half").touch()
    code, out, _ = shell.run("fbank", "asr")
    assert code == 0
    assert not (shell.env / "half").exists(), "the half environment was kept"


def test_an_upgrade_that_changed_nothing_keeps_the_environment(shell: Shell) -> None:
    shell.run("fbank", "asr")
    (shell.env / "kept").touch()
    before = shell.stamp.read_text()
    assert shell.run("test", PIP="bad")[0] == 1
    assert shell.stamp.read_text() == before
    assert shell.run("fbank", "asr")[0] == 0
    assert (shell.env / "kept").exists()


def test_an_upgrade_that_broke_off_is_made_anew(shell: Shell) -> None:
    shell.run("fbank", "asr")
    (shell.env / "half").touch()
    assert shell.run("test", PIP="broken")[0] == 1
    assert not shell.stamp.exists()
    assert shell.run("fbank", "asr")[0] == 0
    assert not (shell.env / "half").exists()


def test_interrupted(shell: Shell) -> None:
    process = shell.start("fbank", "asr", PIP="slow")
    _until(lambda: bool(shell.installs()))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "interrupted" in err
    assert not shell.stamp.exists()
    assert shell.run("fbank", "asr")[0] == 0


# A Python that takes half a minute for whatever it is asked in the step that SLOW names; ASKED tells that it
# was asked. Its children end with it, as a Python's own would.
SLOW_PYTHON = FAKE_PYTHON.replace(
    "#!/bin/bash\n",
    """#!/bin/bash
case "$*" in *"$SLOW"*) touch "$ASKED"; exec sleep 30 ;; esac
""",
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("everybody", [False, True], ids=["the script", "its group, as Ctrl-C"])
@pytest.mark.parametrize(
    ("slow", "which"),
    [
        ("importlib.metadata", "SUPERB_PYTHON"),
        ("importlib.metadata", "VIRTUAL_ENV"),
        ("version_info", "PATH"),
        ("import ensurepip", "PATH"),
        ("-m venv", "PATH"),
    ],
)
def test_interrupted_while_a_python_is_chosen(
    slow: str, which: str, everybody: bool, number: signal.Signals, shell: Shell
) -> None:
    python = shell.bin / "python3.11"
    asked = shell.cwd / "asked"
    environment = {"SLOW": slow, "ASKED": str(asked)}
    if which != "PATH":
        python = shell.cwd / "venv" / "bin" / "python"
        environment[which] = str(python if which == "SUPERB_PYTHON" else shell.cwd / "venv")
    shell.fake(python).write_text(SLOW_PYTHON)
    process = shell.start("fbank", "asr", start_new_session=True, **environment)
    _until(asked.exists)
    begun = time.monotonic()
    (os.killpg if everybody else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=25)
    assert time.monotonic() - begun < 10
    assert (process.returncode, out) == (130, ""), err
    assert err.splitlines()[-1].startswith("run_superb.sh: interrupted")
    assert "has not all of" not in err and "no Python 3" not in err and "failed" not in err


def test_an_interrupt_waits_until_the_program_takes_it(shell: Shell) -> None:
    """Python's own answer while it starts would be a traceback."""
    tells = '"-m downstream_runs") grep SigBlk /proc/self/status ;;'
    shell.python.write_text(FAKE_PYTHON.replace('"-m downstream_runs" |', tells))
    code, out, _ = shell.run("list")
    assert code == 0
    blocked = int(out.split()[-1], 16)
    assert blocked >> (signal.SIGINT - 1) & 1


def test_two_at_once_install_once(shell: Shell) -> None:
    first = shell.start("fbank", "asr", PIP_SECONDS="2")
    _until(lambda: bool(shell.installs()))
    code, out, err = shell.run("fbank", "asr")
    assert code == 0
    assert out.startswith("ran: ")
    assert "another call is installing" in err
    assert first.wait(timeout=30) == 0
    first.communicate()
    assert len(shell.installs()) == 1


def test_no_room(shell: Shell) -> None:
    (shell.bin / "df").unlink()
    (shell.bin / "df").write_text("#!/bin/bash\nprintf 'a b c d\\nx 1 1 1263616 1 y\\n'\n")
    (shell.bin / "df").chmod(0o755)
    code, _, err = shell.run("fbank", "asr")
    assert code == 1
    assert "1234 MB free" in err and err.count("\n") == 1
    assert shell.installs() == []


def _until(condition: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
