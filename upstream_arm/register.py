"""Make a user's own s3prl clone find this package's upstreams.

s3prl's `hub.py` lists its upstreams as imports, one a line, so a new folder alone is not found. The
stub is one marked import at the end of that file; everything else of the clone stays as it is.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.files import atomic_write_bytes

# The leading newline ends an unfinished last line, and is taken away again with the rest.
STUB = b"""
# >>> superb-arm: added by 'python -m upstream_arm register', removed by its --undo
from upstream_arm.hub import *
# <<< superb-arm
"""
# Line ends may have been changed since by an editor or git.
_STUB_PATTERN = re.compile(rb"\r?\n# >>> superb-arm:[^\n]*\n.*?# <<< superb-arm\r?\n", re.DOTALL)


def find_hub(root: Path | str) -> Path:
    """The `hub.py` of a clone, given its root or the s3prl package inside it.

    Raises:
        UpstreamError: if the folder holds no s3prl.
    """
    root = Path(root)
    for package in (root / "s3prl", root):
        hub = package / "hub.py"
        if hub.is_file() and (package / "upstream").is_dir() and (package / "run_downstream.py").is_file():
            return hub.resolve()
    raise UpstreamError(
        f"{root} is not an s3prl clone (no s3prl/hub.py, s3prl/upstream and s3prl/run_downstream.py "
        "there), expected one; give the folder that 'git clone' of s3prl made"
    )


def register(root: Path | str) -> bool:
    """Add the stub to a clone.

    Returns:
        True if it was added, False if it was there already.

    Raises:
        UpstreamError: if this is no clone, its file cannot be written, or `upstream_arm` is not installed
            for this Python.
    """
    hub = find_hub(root)
    _check_installed(hub.parent)
    content = hub.read_bytes()
    if _STUB_PATTERN.search(content):
        return False
    _write(hub, content + STUB)
    return True


def undo(root: Path | str) -> bool:
    """Remove the stub; the clone's file is then what it was, byte for byte.

    Returns:
        True if it was removed, False if there was none.

    Raises:
        UpstreamError: if this is no clone or its file cannot be written.
    """
    hub = find_hub(root)
    content = hub.read_bytes()
    without = _STUB_PATTERN.sub(b"", content)
    if without == content:
        return False
    _write(hub, without)
    return True


def _check_installed(folder: Path) -> None:
    """The clone's scripts run in their own folder, so a package merely lying in this one is not found."""
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import importlib.util as u; raise SystemExit(not u.find_spec('upstream_arm'))",
        ],
        cwd=folder,
        check=False,
    )
    if found.returncode:
        raise UpstreamError(
            f"upstream_arm is not installed for {sys.executable}, so s3prl would not find it; run "
            f"'{sys.executable} -m pip install -e {Path(__file__).resolve().parents[1]}' first"
        )


def _write(path: Path, content: bytes) -> None:
    try:
        mode = path.stat().st_mode
        atomic_write_bytes(path, content)
        path.chmod(mode)
    except OSError as error:
        raise UpstreamError(
            f"{path} cannot be written ({error.strerror or error}); "
            "it is left as it was, check its permissions"
        ) from None
