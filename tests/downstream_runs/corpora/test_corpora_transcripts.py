"""The parser of transcript lines, and a chapter's transcript file against its audio."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downstream_runs.corpora.transcripts import (
    LETTERS,
    TranscriptProblem,
    check_chapter,
    format_line,
    parse_line,
)

words = st.text(alphabet=sorted(LETTERS), min_size=1, max_size=12)
ids = st.from_regex(r"[0-9]{1,6}-[0-9]{1,6}-[0-9]{4}", fullmatch=True)


@given(ids, st.lists(words, min_size=1, max_size=8))
def test_a_written_line_is_read_back(utterance: str, spoken: list[str]) -> None:
    transcript = " ".join(spoken)
    assert parse_line(format_line(utterance, transcript)) == (utterance, transcript)


@given(st.text())
def test_any_line_is_parsed_or_refused_with_a_reason(line: str) -> None:
    try:
        utterance, transcript = parse_line(line)
    except TranscriptProblem as problem:
        assert str(problem)
    else:
        assert [utterance, *transcript.split(" ")] == line.split()
        assert set(transcript) <= LETTERS | {" "}


@given(
    ids, st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]).filter(lambda c: c not in LETTERS)
)
def test_a_character_outside_the_vocabulary_is_named(utterance: str, character: str) -> None:
    with pytest.raises(TranscriptProblem, match="ASR vocabulary") as caught:
        parse_line(f"{utterance} GOOD {character} WORDS")
    assert repr(character) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1-2-0000 A\n1-2-0001 B\n", ()),
        ("1-2-0000 A\n1-2-0001 B", ()),
        ("1-2-0000 A\n1-2-0001\n", ("line 2 gives no transcript for 1-2-0001",)),
        ("1-2-0000 A\n\n1-2-0001 B\n", ("line 2 is blank",)),
        ("1-2-0000 A\n1-2-0001 B\n\n", ("line 3 is blank",)),
        ("1-2-0000 A\n", ("1-2-0001.flac has no line in 1-2.trans.txt",)),
        ("1-2-0000 A\n1-2-0001 B\n1-2-0002 C\n", ("line 3 is for 1-2-0002, which has no flac",)),
        ("1-2-0000 A\n1-2-0001 B\n1-2-0000 A\n", ("line 3 gives 1-2-0000 a second time",)),
        ("1-2-0000 A7\n1-2-0001 b\n", ("line 1 has '7'", "line 2 has 'b'")),
        ("", ("line 1 is blank", "1-2-0000.flac has no line", "1-2-0001.flac has no line")),
    ],
)
def test_transcripts_against_audio(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    folder = tmp_path / "1" / "2"
    folder.mkdir(parents=True)
    (folder / "1-2.trans.txt").write_text(text)
    problems = check_chapter(folder, ["1-2-0000", "1-2-0001"])
    assert len(problems) == len(expected)
    for problem, part in zip(problems, expected, strict=True):
        assert part in problem and str(folder) in problem and "\n" not in problem


def test_missing_and_unreadable_transcripts(tmp_path: Path) -> None:
    folder = tmp_path / "1" / "2"
    folder.mkdir(parents=True)
    assert check_chapter(folder, []) == []
    [missing] = check_chapter(folder, ["1-2-0000"])
    assert "1-2.trans.txt is missing" in missing
    (folder / "1-2.trans.txt").write_bytes(b"1-2-0000 \xff\n")
    [unreadable] = check_chapter(folder, ["1-2-0000"])
    assert "UTF-8" in unreadable
