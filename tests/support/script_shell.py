"""A shell that runs a copy of run_superb.sh with a Python that notes how it was called."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


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
