"""Make your own s3prl clone find this package's upstreams.

s3prl's `hub.py` lists its upstreams as imports, one a line, so a new folder alone is not found. The stub is
one marked import at the end of that file; everything else of the clone stays as it is.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from upstream_arm.common.errors import UpstreamError, reason
from upstream_arm.common.files import atomic_write_bytes

# The leading newline ends an unfinished last line, and is taken away again with the rest.
STUB = b"""
# >>> superb-arm: added by 'python -m upstream_arm register', removed by its --undo
from upstream_arm.hub import *
# <<< superb-arm
"""
# Line ends may have been changed since by an editor or git.
_STUB_PATTERN = re.compile(rb"\r?\n# >>> superb-arm:[^\n]*\n.*?# <<< superb-arm\r?\n", re.DOTALL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--s3prl-root", required=True, metavar="DIR", help="the clone's folder")
    parser.add_argument("--undo", action="store_true", help="take the stub out again")


def run(options: argparse.Namespace) -> int:
    """Add or remove the stub, and say what was done."""
    root = options.s3prl_root
    hub = find_hub(root)
    if options.undo:
        print(f"removed the stub from {hub}" if register(root, undo=True) else f"{hub} has no stub")
        return 0
    state = "added the stub to" if register(root) else "the stub is already in"
    undone = f"'python -m upstream_arm register --s3prl-root {root} --undo'"
    print(f"{state} {hub}; {_how_to_run(hub.parent)}; {undone} takes it out")
    return 0


def find_hub(root: Path | str) -> Path:
    """The `hub.py` of a clone, given its root or the s3prl package inside it; UpstreamError if it is none."""
    root = Path(root)
    for package in (root / "s3prl", root):
        hub = package / "hub.py"
        if hub.is_file() and (package / "upstream").is_dir() and (package / "run_downstream.py").is_file():
            return hub.resolve()
    raise UpstreamError(
        f"{root} is not an s3prl clone (no s3prl/hub.py, s3prl/upstream and s3prl/run_downstream.py "
        "there), expected one; give the folder that 'git clone' of s3prl made"
    )


def register(root: Path | str, undo: bool = False) -> bool:
    """Add the stub to a clone, or remove it, so that the file is what it was; returns whether it changed.

    UpstreamError if this is no clone, its file cannot be written, or `upstream_arm` is not installed for this
    Python.
    """
    hub = find_hub(root)
    content = hub.read_bytes()
    bare = _STUB_PATTERN.sub(b"", content)
    if not undo:
        _check_installed(hub.parent)
    if (bare == content) == undo:
        return False
    try:
        mode = hub.stat().st_mode
        atomic_write_bytes(hub, bare if undo else content + STUB)
        hub.chmod(mode)
    except OSError as error:
        raise UpstreamError(
            f"{hub} cannot be written ({reason(error)}) and is as it was; check its permissions"
        ) from None
    return True


def _how_to_run(folder: Path) -> str:
    """How to use the clone's `run_downstream.py` with the torchaudio that is installed here."""
    import torchaudio

    # The first thing that s3prl 0.4.18 calls and that torchaudio dropped in 2.9.
    if hasattr(torchaudio, "set_audio_backend"):
        return f"now 'python run_downstream.py -u arm_hubert ...' in {folder} finds it"
    return (
        f"now run_downstream.py in {folder} knows -u arm_hubert, for torchaudio before 2.9; with "
        "the one installed here use 's3prl run_downstream.py -u arm_hubert ...', in any folder"
    )


def _check_installed(folder: Path) -> None:
    """The clone's scripts run in their own folder, so a package merely lying in this one is not found."""
    code = "import importlib.util as u; raise SystemExit(not u.find_spec('upstream_arm'))"
    if subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode:
        raise UpstreamError(
            f"upstream_arm is not installed for {sys.executable}, so s3prl would not find it; run "
            f"'{sys.executable} -m pip install -e {Path(__file__).resolve().parents[1]}' first"
        )
