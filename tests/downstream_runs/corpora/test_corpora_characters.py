"""The character list for ASR."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

from downstream_runs.corpora import texts
from downstream_runs.corpora.transcripts import LETTERS, SYMBOLS, char_dict
from upstream_arm.common.errors import UsageError


def test_the_letters_are_those_of_librispeech() -> None:
    assert frozenset(string.ascii_uppercase + "'") == LETTERS
    assert len(SYMBOLS) == len(set(SYMBOLS)) == 28


def test_the_order_is_that_of_s3prl() -> None:
    """The file downstream/asr/char.dict in s3prl's git tree (ec8064b5); the head's outputs follow it."""
    assert [line.split(" ")[0] for line in char_dict().splitlines()] == list("|ETAONIHSRDLUMCWFGYPBVK'XJQZ")


def test_counts_fall_so_that_sorting_keeps_the_order() -> None:
    counts = [int(line.split(" ")[1]) for line in char_dict().splitlines()]
    assert counts == sorted(set(counts), reverse=True)


def test_written_to_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    assert texts.write(tmp_path / "new" / "char.dict", char_dict()).read_text() == char_dict()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        texts.write(tmp_path / "file" / "char.dict", char_dict())
