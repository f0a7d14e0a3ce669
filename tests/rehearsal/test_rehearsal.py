"""The tests on a pretend accelerator, each file in a process of its own.

torch starts a thread of its gradients for every device that it knows, and a process with such threads may not
fork, which other tests do.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("rehearsed_*.py")))
def test_rehearsed(name: str, pytestconfig: pytest.Config) -> None:
    chosen = ["-m", pytestconfig.option.markexpr] if pytestconfig.option.markexpr else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, str(HERE / name)]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
