"""What the command is called here, and whether the packages beside it are the right ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from upstream_arm.common.program import NAMES, PROGRAM

__all__ = ["NAMES", "PROGRAM", "SIBLINGS", "shadowed"]

FOLDER = Path(__file__).resolve().parents[2]
"""Where the packages lie: a checkout, or the site-packages of a wheel."""

SIBLINGS = ("reports", "upstream_arm")


def shadowed() -> str | None:
    """One sentence if Python would import another package in place of one of this project; else None.

    `reports` is a name that others may use too, and a foreign one would fail far from here.
    """
    for name in SIBLINGS:
        spec = importlib.util.find_spec(name)
        found = None if spec is None or spec.origin is None else Path(spec.origin).resolve()
        if found != FOLDER / name / "__init__.py":
            return (
                f"Python finds the package {name!r} at {found or 'no place'}, and the one of this project is "
                f"{FOLDER / name}: run from another folder, take the first out of PYTHONPATH, or install "
                "superb-arm in an environment of its own"
            )
    return None
