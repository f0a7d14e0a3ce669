"""Error rates against tools that we did not write, and their edge cases."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downstream_runs.scoring import wer
from downstream_runs.scoring.counts import ErrorCounts
from downstream_runs.scoring.wer import ScoringError, Unit
from upstream_arm.common.errors import UsageError

UNITS: tuple[Unit, Unit] = ("word", "char")
transcripts = st.lists(st.sampled_from(["a", "b", "ab", "é", "語"]), max_size=6).map(" ".join)
units = st.sampled_from(UNITS)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, str]]:
    ref = draw(st.dictionaries(st.text("uvw", min_size=1, max_size=4), transcripts, max_size=5))
    return ref, {name: draw(transcripts) for name in ref}


def test_the_whole_of_test_clean_gives_the_published_wer(data_dir: Path) -> None:
    folder = data_dir / "oracles" / "wer_librispeech"
    expected = json.loads((folder / "expected.json").read_text())["test-clean.b1.rnnt_baseline"]
    ref = wer.read_tsv(folder / "test-clean.ref.tsv.gz")
    hyp = wer.read_tsv(folder / "test-clean.b1.rnnt_baseline.hyp.tsv.gz")
    words, characters = wer.score(ref, hyp), wer.score(ref, hyp, "char")
    published = dict(item.split("=") for item in expected["published"].removeprefix("WER: ").split(", "))
    assert words.errors == sum(int(published[kind]) for kind in ("subs", "ins", "dels"))
    assert words.length == int(published["ref_words"])
    assert repr(100 * words.errors / words.length) == published["error_rate"]
    assert words.rate == expected["superb_backend_wer_on_these_files"]
    assert characters.rate == expected["superb_backend_cer"]
    assert words.utterances == characters.utterances == 2620


def test_the_subset_that_jiwer_scored(data_dir: Path) -> None:
    ref = wer.read_ark(data_dir / "scoring" / "test-clean-subset.ref.ark")
    hyp = wer.read_ark(data_dir / "scoring" / "test-clean-subset.hyp.ark")
    assert wer.score(ref, hyp, "word") == ErrorCounts(76, 1292, 60, 36)
    assert wer.score(ref, hyp, "char") == ErrorCounts(144, 7038, 60, 36)


@pytest.mark.parametrize(
    ("ref", "hyp", "unit", "errors", "length"),
    [
        ("a b c", "", "word", 3, 3),
        ("", "a b", "word", 2, 0),
        ("", "", "word", 0, 0),
        ("ab", "", "char", 2, 2),
        ("", "ab", "char", 2, 0),
        ("a b", "a  b", "word", 1, 2),  # the doubled space is an empty word: one insertion
        ("a  b", "a b", "word", 1, 3),
        ("a b", "a\u00a0b", "word", 2, 2),  # a no-break space does not part words
        ("a b", "a\tb", "word", 2, 2),
        ("naïve café", "naive café", "word", 1, 2),
        ("é", "e\u0301", "char", 2, 1),  # Unicode forms are not made equal
        ("語 𝄞", "語 𝄞", "char", 0, 3),  # code points, not bytes or UTF-16 units
        ("A", "a", "word", 1, 1),
        ("a b c d", "b c d", "word", 1, 4),
    ],
)
def test_edge_cases(ref: str, hyp: str, unit: Unit, errors: int, length: int) -> None:
    assert wer.score({"u": ref}, {"u": hyp}, unit) == ErrorCounts(errors, length, 1, int(errors > 0))


def test_nothing_to_score_is_zero() -> None:
    assert wer.score({}, {}) == ErrorCounts()


def test_missing_and_surplus_utterances_are_named_and_never_skipped() -> None:
    ref = {f"r{number}": "a" for number in range(9)}
    with pytest.raises(
        ScoringError, match=r"^7 of 9 reference utterances .*\(r2, r3, r4, r5, r6, \.\.\.\), so"
    ) as caught:
        wer.score(ref, {"r0": "a", "r1": "a"})
    assert isinstance(caught.value, UsageError)
    with pytest.raises(ScoringError, match=r"^1 hypotheses have no reference \(x\)"):
        wer.score(ref, {**ref, "x": "a"})
    with pytest.raises(ScoringError, match=r"^9 of 9 .* and 1 hypotheses"):
        wer.score(ref, {"x": "a"})


def test_an_unknown_unit_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="'word' or 'char'"):
        wer.score({"u": "a"}, {"u": "a"}, "phone")  # type: ignore[arg-type]


@given(pairs(), units)
def test_a_perfect_hypothesis_has_no_error(both: tuple[dict[str, str], dict[str, str]], unit: Unit) -> None:
    ref, _ = both
    found = wer.score(ref, ref, unit)
    assert (found.errors, found.wrong_utterances) == (0, 0)


@given(pairs(), units)
def test_pooling_is_the_sum_over_utterances_in_any_order(
    both: tuple[dict[str, str], dict[str, str]], unit: Unit
) -> None:
    ref, hyp = both
    single = [wer.score({name: ref[name]}, {name: hyp[name]}, unit) for name in reversed(ref)]
    assert wer.score(ref, hyp, unit) == sum(single, ErrorCounts())
    assert wer.score(dict(reversed(ref.items())), hyp, unit) == wer.score(ref, hyp, unit)


@given(transcripts, transcripts, transcripts, units)
def test_the_distance_is_a_metric_within_its_bounds(a: str, b: str, c: str, unit: Unit) -> None:
    def distance(x: str, y: str) -> int:
        return wer.score({"u": x}, {"u": y}, unit).errors

    assert distance(a, b) == distance(b, a)
    assert distance(a, c) <= distance(a, b) + distance(b, c)
    lengths = sorted((len(wer.tokens(a, unit)), len(wer.tokens(b, unit))))
    assert lengths[1] - lengths[0] <= distance(a, b) <= lengths[1]


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))
    return path


def test_reading_ark(tmp_path: Path) -> None:
    path = write(tmp_path / "h.ark", "\ufeffu1 a b\nu2 \nu3\n\nu4  a \r\nu5 é\u2028語\n")
    assert wer.read_ark(path) == {"u1": "a b", "u2": "", "u3": "", "u4": " a", "u5": "é\u2028語"}


def test_reading_tsv_plain_and_compressed(tmp_path: Path) -> None:
    text = "u1\ta b\nu2\t\nu3\n"
    packed = tmp_path / "h.tsv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    expected = {"u1": "a b", "u2": "", "u3": ""}
    assert wer.read_tsv(write(tmp_path / "h.tsv", text)) == wer.read_tsv(packed) == expected
    assert wer.read_transcripts(packed) == expected


@given(st.dictionaries(st.text("abcé-", min_size=1), transcripts, min_size=1))
def test_what_s3prl_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("ark") / "x.ark"
    assert wer.read_ark(write(path, "".join(f"{name} {text}\n" for name, text in texts.items()))) == texts


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("h.ark", b"u1 a\nu1 b\n", "line 2: utterance 'u1' is there twice"),
        ("h.ark", b"u1\ta b\n", "line 1: .* is not of the form 'NAME WORDS"),
        ("h.ark", b" a b\n", "line 1: ' a b' is not of the form"),
        ("h.tsv", b"u1 a b\n", "line 1: 'u1 a b' is not of the form 'NAME<TAB>WORDS"),
        ("h.csv", b"u1 a b\n", "line 1: 'u1 a b' is not of the form 'NAME,TEXT'"),
        ("h.ark", b"\n \n", "holds no transcript"),
        ("h.ark", b"u1 \xff\n", "cannot be read .*UTF-8 was expected"),
        ("h.tsv.gz", b"u1\ta\n", "cannot be read"),
        ("h.tsv.gz", gzip.compress(b"".join(b"u%d\ta\n" % n for n in range(99)))[:-9], "cannot be read"),
    ],
)
def test_files_that_cannot_be_scored(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ScoringError, match=message) as caught:
        wer.read_transcripts(path)
    assert str(path) in str(caught.value)


def test_an_absent_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match="No such file"):
        wer.read_ark(tmp_path / "none.ark")
    with pytest.raises(ScoringError, match="directory"):
        wer.read_ark(tmp_path)
