"""The tiny corpus of noise, and commands that train on it for two steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import noise
import pytest

SHORT = ("total_steps=2", "eval_step=2", "save_step=1", "log_step=1")


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., list[str]]:
    """A command line on the corpus, its runs in `out`; names first, further options after them."""
    noise.make_corpus(tmp_path / "data")

    def make(*arguments: str) -> list[str]:
        options = [part for setting in SHORT for part in ("-o", f"runner.{setting}")]
        places = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--device", "cpu"]
        return [*arguments, *places, "--recipe", "demo", "--features", "off", *options]

    return make
