"""RTTM and UEM files: read, written, refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downstream_runs.scoring import rttm
from downstream_runs.scoring.names import ScoringError
from downstream_runs.scoring.rttm import Turn

names = st.text("abcé語-_.", min_size=1, max_size=5)
turns = st.builds(
    lambda speaker, start, length: Turn(speaker, start / 1000, (start + length) / 1000),
    names,
    st.integers(0, 10**6),
    st.integers(1, 10**5),
)


@given(st.dictionaries(names, st.lists(turns, min_size=1, max_size=4), min_size=1, max_size=4))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, list[Turn]]
) -> None:
    path = tmp_path_factory.mktemp("rttm") / "x.rttm"
    rttm.write(path, files)
    found = rttm.read(path)
    assert list(found) == list(files)
    for name, expected in files.items():
        assert [turn.speaker for turn in found[name]] == [turn.speaker for turn in expected]
        for got, turn in zip(found[name], expected, strict=True):
            assert (got.start, got.end) == pytest.approx((turn.start, turn.end), abs=1e-6)


def test_only_speaker_lines_are_read(tmp_path: Path) -> None:
    text = (
        ";; a comment\nSPKR-INFO f 1 <NA> <NA> <NA> unknown A <NA>\n"
        "SPEAKER f 1 0.5 2 <NA> <NA> A <NA> <NA>\nNON-LEX f 1 1 1 breath breath A <NA>\n"
        "SPEAKER  g  1  0  1.5  <NA> <NA>  B 0.5\n\n"
    )
    path = tmp_path / "x.rttm.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert rttm.read(path) == {"f": [Turn("A", 0.5, 2.5)], "g": [Turn("B", 0.0, 1.5)]}


def test_uem(tmp_path: Path) -> None:
    path = tmp_path / "x.uem"
    path.write_text(";; regions\nf 1 0 2.5\ng 1 1 2\nf 1 4 5\n")
    assert rttm.read_uem(path) == {"f": [(0.0, 2.5), (4.0, 5.0)], "g": [(1.0, 2.0)]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SPEAKER f 1 0 1 <NA> <NA>\n", "line 1: 7 fields, at least 8 were expected"),
        ("SPEAKER f 1 x 1 <NA> <NA> A <NA> <NA>\n", "line 1: 'x' and '1' are no two times"),
        ("SPEAKER f 1 0 0 <NA> <NA> A <NA> <NA>\n", "line 1: a turn of 'A' runs from 0.0 to 0.0 s"),
        ("SPEAKER f 1 -1 2 <NA> <NA> A <NA> <NA>\n", "line 1: a turn of 'A' runs from -1.0"),
        ("SPEAKER f 1 nan 2 <NA> <NA> A <NA> <NA>\n", "line 1: 'nan' and '2' are no two times"),
        ("SPEAKER f 1 0 inf <NA> <NA> A <NA> <NA>\n", "line 1: '0' and 'inf' are no two times"),
        ("SPEAKER f 1 1_0 2 <NA> <NA> A <NA> <NA>\n", "line 1: '1_0' and '2' are no two times"),
        (
            "SPEAKER f 1 0 1e300 <NA> <NA> A <NA> <NA>\n",
            "line 1: a turn of 'A' runs from 0.0 to 1e.300 s",
        ),
        ("SPEAKER f 1 0 1000001 <NA> <NA> A <NA> <NA>\n", "a later end up to 1000000 were expected"),
        (f"SPEAKER f 1 0 {'9' * 5000} <NA> <NA> A <NA> <NA>\n", "are no two times in seconds"),
        (";; nothing\n", "holds no SPEAKER line"),
    ],
)
def test_rttm_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.rttm"
    path.write_text(text)
    with pytest.raises(ScoringError, match=message) as caught:
        rttm.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f 1 0\n", "line 1: 3 fields, 4 were expected"),
        ("f 1 2 1\n", "line 1: 2.0 to 1.0 s is no region"),
        ("f 1 0 1e300\n", "line 1: 0.0 to 1e.300 s is no region of a file of 1000000 s"),
        ("f 1 0 end\n", "line 1: '0' and 'end' are no two times"),
        ("\n", "holds no region"),
    ],
)
def test_uem_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.uem"
    path.write_text(text)
    with pytest.raises(ScoringError, match=message):
        rttm.read_uem(path)


def test_names_that_rttm_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'a b' has white space"):
        rttm.write(tmp_path / "x.rttm", {"f": [Turn("a b", 0, 1)]})
    with pytest.raises(ValueError, match="white space"):
        rttm.write(tmp_path / "x.rttm", {"": [Turn("a", 0, 1)]})
    assert not list(tmp_path.iterdir())
