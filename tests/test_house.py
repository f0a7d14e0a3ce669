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
PACKAGES = ("upstream_arm", "downstream_runs", "reports")
LINES_OF_A_MODULE, LINES_OF_A_FUNCTION = 400, 50
LATE_IMPORTS = 150
"""Imports of ours in functions: of what is heavy, where it is used."""


def sources() -> Iterator[Path]:
    for package in PACKAGES:
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


def test_modules_of_tests_are_short() -> None:
    lines = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in CHECKOUT.glob("tests/**/*.py")
    }
    assert [str(path) for path, count in lines.items() if count > LINES_OF_A_MODULE] == []


def test_imports_of_ours_are_at_the_top() -> None:
    """But for those of heavy modules, which commands and their help do without."""
    late = [
        f"{path.relative_to(CHECKOUT)}:{node.lineno}"
        for path in sources()
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES
    ]
    assert len(set(late)) <= LATE_IMPORTS, f"{len(set(late))}, such as {sorted(set(late))[:5]}"
