"""One edit distance from either package, and s3prl's where only one of them is installed."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from downstream_runs.scoring import distance
from upstream_arm.common.errors import UsageError

WORDS = ["a", "b", "ab", "THE", "the", "é", "e\u0301", "語", "𝄞", "", "a\u00a0b", "B-x"]


def pairs(number: int) -> list[tuple[Sequence[str], Sequence[str]]]:
    """As many pairs of words as of characters; the second is often the first with a few changes."""
    chance = random.Random(0)
    found: list[tuple[Sequence[str], Sequence[str]]] = []
    for turn in range(number):
        first = chance.choices(WORDS, k=chance.randint(0, 25 if turn % 50 else 800))
        second = chance.choices(WORDS, k=chance.randint(0, 25)) if turn % 3 == 0 else list(first)
        for _ in range(chance.randint(0, 6)):
            place = chance.randint(0, len(second))
            second[place : place + chance.randint(0, 2)] = chance.choices(WORDS, k=chance.randint(0, 2))
        found += [(first, second), (list(" ".join(first[:60])), list(" ".join(second[:60])))]
    return found


def test_both_packages_count_the_same_edits() -> None:
    editdistance = pytest.importorskip("editdistance", reason="compares two packages, one is not installed")
    pytest.importorskip("rapidfuzz", reason="compares two packages, one is not installed")
    made = pairs(5000)
    assert len(made) == 10_000
    for first, second in made:
        expected = editdistance.eval(first, second)
        assert distance.rapidfuzz_distance(first, second) == distance.edit_distance(first, second) == expected


def plain(first: Sequence[str], second: Sequence[str]) -> int:
    """The textbook's table, row by row."""
    row = list(range(len(second) + 1))
    for number, one in enumerate(first, start=1):
        above, row = row, [number]
        for place, other in enumerate(second, start=1):
            row.append(min(above[place] + 1, row[-1] + 1, above[place - 1] + (one != other)))
    return row[-1]


@pytest.mark.parametrize("package", ["editdistance", "rapidfuzz"])
def test_each_package_counts_as_the_textbook_does(package: str) -> None:
    pytest.importorskip(package)
    chosen: Callable[[Sequence[str], Sequence[str]], int] = (
        distance.rapidfuzz_distance if package == "rapidfuzz" else distance.edit_distance
    )
    for first, second in pairs(60):
        assert chosen(first, second) == plain(first, second)


@pytest.fixture()
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Takes a package away as if it were not installed."""
    distance._installed.cache_clear()

    def take(name: str) -> None:
        monkeypatch.setitem(sys.modules, name, None)

    yield take
    distance._installed.cache_clear()


def test_rapidfuzz_counts_where_editdistance_is_not_installed(without: Callable[[str], None]) -> None:
    pytest.importorskip("rapidfuzz")
    without("editdistance")
    assert distance._installed() is distance.rapidfuzz_distance
    assert distance.edit_distance(["a", "b"], ["b"]) == 1


def test_without_either_there_is_one_sentence(without: Callable[[str], None]) -> None:
    without("editdistance")
    without("rapidfuzz.distance")
    with pytest.raises(UsageError, match=r"pip install rapidfuzz") as caught:
        distance.edit_distance("a", "b")
    assert "\n" not in str(caught.value)


CODE = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "editdistance":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "editdistance" else real(name, *a)
from downstream_runs.bridge import stand_ins
stand_ins.install()
import editdistance
from downstream_runs.scoring import distance, wer
assert editdistance.eval is distance.rapidfuzz_distance
assert editdistance.eval(["a", "b"], ["b"]) == editdistance.eval("kitten", "sitting") - 2 == 1
assert wer.score({"u": "a b c"}, {"u": "a x c"}).errors == 1
from s3prl.metric import common
assert common.wer(["a x c"], ["a b c"]) == 1 / 3
"""


def test_s3prl_gets_a_stand_in_where_editdistance_is_not_installed() -> None:
    pytest.importorskip("rapidfuzz")
    pytest.importorskip("s3prl")
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", CODE], check=True, timeout=120, cwd=root)
