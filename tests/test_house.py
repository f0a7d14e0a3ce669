"""The structure holds: rooms, arrows, no circles, and modules and functions that can be read.

A docstring is no part of a function's length.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
LINES_OF_A_MODULE, LINES_OF_A_FUNCTION = 400, 50


def sources() -> Iterator[Path]:
    for package in ("upstream_arm", "downstream_runs", "reports"):
        yield from (CHECKOUT / package).rglob("*.py")


def test_arrows_and_circles() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which(
        "lint-imports"
    )
    if command is None:
        pytest.skip("import-linter is not installed (the extra `dev`)")
    done = subprocess.run(
        [command, "--no-cache", "pyproject.toml"], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_modules_and_functions_are_short() -> None:
    too_long = []
    for path in sources():
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > LINES_OF_A_MODULE:
            too_long.append(str(path.relative_to(CHECKOUT)))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                told = len((ast.get_docstring(node, clean=False) or "").splitlines())
                length = (node.end_lineno or node.lineno) - node.lineno + 1 - told
                if length > LINES_OF_A_FUNCTION:
                    too_long.append(f"{path.relative_to(CHECKOUT)}: {node.name} ({length})")
    assert too_long == []
