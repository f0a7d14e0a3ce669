"""Whether the installed torch and torchaudio work together; if not, the one sentence that mends it.

torchaudio 2.11 is the last release. It works with later releases of torch, but not with one that is built for
another version of CUDA, which its import refuses. Only that import decides here, never a version number.

`python -m downstream_runs.bridge.pair` prints the sentence and exits with 1, or prints nothing and exits with
0.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

from upstream_arm.common.errors import UsageError
from upstream_arm.common.program import installed

NAMES = ("torch", "torchaudio")


def problem() -> str | None:
    """None if both can be imported, else one sentence that ends with the command to run."""
    versions = [installed(name) for name in NAMES]
    absent = [name for name, version in zip(NAMES, versions, strict=True) if version is None]
    if absent:
        return (
            f"{' and '.join(absent)} is not installed: run `{_install('torch>=2.11,<3', 'torchaudio>=2.11')}`"
        )
    try:
        for name in NAMES:
            importlib.import_module(name)
    except Exception as error:  # libraries that do not fit raise OSError, RuntimeError and others
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        # A torch of torchaudio's own release, from the same place, is built for the same CUDA.
        release = ".".join(str(versions[1]).split("+")[0].split(".")[:2])
        command = _install("--force-reinstall", f"torch=={release}.*", f"torchaudio=={release}.*")
        return (
            f"torch {versions[0]} and torchaudio {versions[1]} do not work together ({reason}): install "
            f"a pair that was built together with `{command}`"
        )
    return None


def check() -> None:
    """Raise UsageError with the sentence of `problem` if there is one."""
    found = problem()
    if found is not None:
        raise UsageError(found)


def _install(*wanted: str) -> str:
    """The command that installs these here; an environment that uv made has no pip."""
    if importlib.util.find_spec("pip") is None:
        wanted = tuple(one.replace("--force-reinstall", "--reinstall") for one in wanted)
        start = f"uv pip install --python {sys.executable}"
    else:
        start = f"{sys.executable} -m pip install"
    return " ".join((start, *(one if one.startswith("--") else f"'{one}'" for one in wanted)))


if __name__ == "__main__":
    said = problem()
    if said is not None:
        print(f"error: {said}", file=sys.stderr)
    sys.exit(said is not None)
