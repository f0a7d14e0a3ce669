"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# One thread in this process and in those that it starts: sums are rounded by how they are divided among
# threads, and several tests hold two processes' numbers against each other, bit by bit.
os.environ["OMP_NUM_THREADS"] = "1"

# A shell starts what runs in its background with interrupts ignored, and a program that a test interrupts
# would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing on a machine that does other things too.
settings.register_profile("superb", deadline=None)
settings.load_profile("superb")

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Small golden data that travels with the project."""
    return DATA


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Shared facts, goldens and real speech beside the checkout; the test is skipped without them."""
    folder = Path(os.environ.get("SUPERB_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"needs the folder of shared real data beside the checkout, not found at {folder}")
    return folder
