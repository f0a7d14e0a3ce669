"""Any module may be the first of the project that a process imports, as one that unpickles something does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import importlib, pkgutil, sys

names = sys.argv[1:]
for package in () if names else ("downstream_runs", "reports", "upstream_arm"):
    path = importlib.import_module(package).__path__
    found = [one.name for one in pkgutil.walk_packages(path, package + ".")]
    names += [name for name in found if not name.endswith("__main__")]
packages = {name.partition(".")[0] for name in names}
for name in names:
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] in packages]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception as error:
        print("CANNOT", name, type(error).__name__, error)
"""


def cannot(*names: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *names],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    return [line for line in done.stdout.splitlines() if line.startswith("CANNOT")]


def test_what_reading_processes_unpickle() -> None:
    names = ("features.items", "engine.batches", "engine.prefetch", "engine.distributed", "launch.local")
    assert cannot(*(f"downstream_runs.{name}" for name in names)) == []


@pytest.mark.slow
def test_every_module() -> None:
    assert cannot() == []
