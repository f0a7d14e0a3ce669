"""benchmarks/scale.py on small trees: what is read grows with the items and not faster."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import _trees
import scale
from scale import Cost

from downstream_runs.corpora import libriphone


def test_what_grows_faster_than_the_items_is_told() -> None:
    few = (0.1, Cost(seconds=3.0, counts=(100, 1000, 10)))
    twice = (0.2, Cost(seconds=7.0, counts=(400, 2000, 40)))
    assert scale.compare("ks check", few, twice, by_counts=False)[1] == [
        "ks check: processor seconds grow with the items to the power of 1.22"
    ]
    assert scale.compare("ks check", few, twice, by_counts=True)[1] == [], "few of them are no matter"
    many = (0.2, Cost(seconds=6.0, counts=(200, 4000, 20)))
    assert scale.compare("ks check", few, many, by_counts=True)[1] == [
        "ks check: files asked grow with the items to the power of 2.00"
    ]
    assert scale.compare("ks check", few, many, by_counts=False)[1] == []


def test_the_invented_lexicon_has_phones_of_the_head() -> None:
    assert set(_trees.PHONES) < set(libriphone.PHONES)


@pytest.mark.slow
def test_every_stage_reads_and_asks_about_no_file_more_often_on_a_larger_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--tasks", "ks,er", "--fractions", "0.02", "0.04", "--steps", "1", "--by-counts"]
    monkeypatch.setattr(sys, "argv", ["scale.py", "--place", str(tmp_path), *words])
    assert scale.main() == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:-1]]
    stages = ["check", "prepare", "start", "steps", "resume"]
    assert [row[2] for row in rows] == stages * 4
    assert all(int(row[6].replace(",", "")) > 0 for row in rows if row[2] in ("check", "prepare", "resume"))
