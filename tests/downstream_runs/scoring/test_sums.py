"""Sums of floats: the last digit that Python 3.11 and s3prl's published numbers have, on every version."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest

import downstream_runs
from downstream_runs.scoring import slots
from downstream_runs.scoring.sums import in_order

PACKAGE = Path(downstream_runs.__file__).parent  # also where it is installed
TENTHS = [0.1] * 10


def test_one_addition_after_another() -> None:
    assert in_order(TENTHS) == 0.9999999999999999 != math.fsum(TENTHS)
    assert in_order([]) == 0.0 and in_order([2]) == 2.0
    accuracies = [70.1, 68.3, 64.9, 72.7, 66.6]  # a mean of five folds
    assert in_order(accuracies) == 70.1 + 68.3 + 64.9 + 72.7 + 66.6


def test_slot_type_f1_adds_in_order() -> None:
    # 1/3 precision and whole recall: an F1 of 0.5, and 2/3 with one surplus type, which no float holds.
    ref = {str(number): "B-x ONE E-x" for number in range(10)}
    hyp = dict.fromkeys(ref, "B-x ONE E-x B-y TWO E-y")
    one = slots.score({"0": ref["0"]}, {"0": hyp["0"]}).f1_sum
    assert slots.score(ref, hyp).f1_sum == in_order([one] * 10) != math.fsum([one] * 10)


#: What may be added by Python's own `sum`: whole numbers, and seconds that are rounded.
ALLOWED = (
    "hyp[name] != label",
    "one.steps for",
    "metric.counts[",
    "int(label)",
    "not text",
    "_fine(",
    "value in found.get",
    "len(values)",
    "'' in tokens",
    "result.wall_seconds",
    "check.good is",
    "one.state ==",
)


@pytest.mark.parametrize("place", ["scoring", "engine/folds.py", "runs/verify.py", "launch/sweep.py"])
def test_no_score_comes_from_the_builtin_sum_of_floats(place: str) -> None:
    path = PACKAGE / place
    for file in path.glob("*.py") if path.is_dir() else [path]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sum":
                text = ast.unparse(node)
                assert any(f"sum({one}" in text.replace("((", "(") for one in ALLOWED), (
                    f"{file.name}:{node.lineno}: {text}"
                )
