"""What the words of a command are without some options."""

from __future__ import annotations

import pytest

from upstream_arm.common.arguments import without


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["a", "-o", "x=1", "--demo"], ["a", "--demo"]),
        (["-ox=1", "a", "--out", "runs"], ["a", "--out", "runs"]),
        (["-o", "x=1", "-o", "y=2"], []),
        (["--steps", "-5", "a", "--steps=4", "--lr", "1e-3"], ["a", "--lr", "1e-3"]),
        (["--stepsize", "3", "-x", "-o"], ["--stepsize", "3", "-x"]),
    ],
)
def test_options_go_with_their_values(words: list[str], left: list[str]) -> None:
    assert without(words, ("-o", "--steps")) == left
