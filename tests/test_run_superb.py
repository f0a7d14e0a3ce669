"""run_superb.sh with stand-ins for Python and pip: nothing is installed."""

from __future__ import annotations

import configparser
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

# A Python that notes how it was called. It has every package but those named in LACKS, and makes a virtual
# environment of copies of itself; pip behaves as PIP says.
FAKE_PYTHON = r"""#!/bin/bash
printf '%s\n' "$*" >> "$CALLS"
case "$1 $2" in
    "-c import importlib.metadata"*)
        # As a real Python does: the folder that it is called in counts as installed.
        if [[ -e superb_arm.egg-info ]]; then exit 0; fi
        for wanted in "${@:3}"; do
            case " ${LACKS:-} " in *" $wanted "*) exit 1 ;; esac
            if [[ $0 == *.superb-env*/* && ! -e ${0%/bin/python}/installed ]]; then exit 1; fi
        done ;;
    "-c import sys; sys.exit"*) exit "${UNSUPPORTED:-0}" ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip")
        case "${PIP:-good}" in
            slow) echo "Installing collected packages: torch"; exec sleep 60 ;;
            bad) echo "Collecting torch"; echo "ERROR: no network"; exit 1 ;;
            broken) echo "Installing collected packages: torch"; echo "ERROR: disk is full"; exit 1 ;;
            good) sleep "${PIP_SECONDS:-0}"; touch "${0%/bin/python}/installed" ;;
        esac ;;
    "-m downstream_runs.bridge.pair") if [[ -n ${PAIR:-} ]]; then echo "error: the pair" >&2; exit 1; fi ;;
    "-m downstream_runs" | "-m pytest") echo "ran: $0 | $PWD | $PYTHONPATH | $*"; exit "${CODE:-0}" ;;
esac
"""


class Shell:
    """A copy of the script in a folder of its own, with a path that holds no Python but the stand-in."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "the checkout"
        self.checkout.mkdir()
        (self.checkout / "reports").mkdir()
        for name in ("run_superb.sh", "setup.cfg", "constraints.txt", "reports/requirements.txt"):
            shutil.copy(CHECKOUT / name, self.checkout / name)
        self.script = self.checkout / "run_superb.sh"
        self.env = self.checkout / ".superb-env"
        self.stamp = self.env / "stamp"
        self.small = self.checkout / ".superb-env-light"
        self.constrained = f"-m pip install --progress-bar off -c {self.checkout}/constraints.txt"
        self.cwd = folder / "where the user is"
        self.cwd.mkdir()
        self.calls = folder / "calls"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.python = self.fake(self.bin / "python3.11")
        # macOS has all of these but flock, which the script can do without.
        tools = "bash awk cat chmod cksum cp df dirname env find flock grep kill mkdir mv readlink rm sed "
        tools += "sleep tail touch"
        for tool in tools.split():
            found = shutil.which(tool)
            assert found or tool == "kill", tool
            if found:
                (self.bin / tool).symlink_to(found)
        self.environment = {"PATH": str(self.bin), "CALLS": str(self.calls), "HOME": str(folder)}

    def fake(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FAKE_PYTHON)
        path.chmod(0o755)
        return path

    def start(
        self, *arguments: str, script: Path | None = None, start_new_session: bool = False, **extra: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(script or self.script), *arguments],
            cwd=self.cwd,
            env={**self.environment, **extra},
            start_new_session=start_new_session,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, script: Path | None = None, **extra: str) -> tuple[int, str, str]:
        process = self.start(*arguments, script=script, **extra)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def installs(self) -> list[str]:
        if not self.calls.exists():
            return []
        return [line for line in self.calls.read_text().splitlines() if line.startswith("-m pip")]


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


def _until(condition: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
