"""What the command is called here, and whether the packages beside it are the right ones."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2]
"""Where the packages lie: a checkout, or the site-packages of a wheel."""

NAMES = ("./run_superb.sh", "superb")
"""What results of this project may name as the command that made them."""

PROGRAM = NAMES[0] if (FOLDER / "run_superb.sh").is_file() else NAMES[1]
"""The script of a checkout; without one, the console command that the wheel installs."""


def shadowed() -> str | None:
    """One sentence if Python would import another package in place of one of this project; else None.

    `reports` is a name that others may use too, and a foreign one would fail far from here.
    """
    for name in ("reports", "downstream_runs"):
        spec = importlib.util.find_spec(name)
        origin = None if spec is None or spec.origin is None else Path(spec.origin).resolve()
        if origin != FOLDER / name / "__init__.py":
            return (
                f"Python finds the package {name!r} at {origin or 'no place'}, and the one of this project "
                f"is {FOLDER / name}: run from another folder, take the first out of PYTHONPATH, or install "
                "superb-arm in an environment of its own"
            )
    return None


def installed(package: str) -> str | None:
    """The version of an installed package, without importing it; None if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
