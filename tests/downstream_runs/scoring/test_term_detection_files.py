"""Stdlist, tlist and ground truth folders: read, written, refused."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downstream_runs.scoring import groundtruth, inputs, stdlist
from downstream_runs.scoring.groundtruth import GroundTruth
from downstream_runs.scoring.names import ScoringError

names = st.text("abé語<&\"'-_", min_size=1, max_size=6)
GOOD = '<detected_termlist termid="q"><term file="d" score="1" decision="YES"/></detected_termlist>'


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_what_s3prl_would_write(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.stdlist.xml"
    stdlist.write(path, {"q1": {"d1": 2.00001, "d2": 2.0}, "q2": {"d1": -0.5}})
    assert path.read_text() == (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        '<stdlist termlist_filename="benchmark.stdlist.xml" indexing_time="1.00" language="english" '
        'index_size="1" system_id="benchmark">\n'
        '  <detected_termlist termid="q1" term_search_time="1.0" oov_term_count="1">\n'
        '    <term file="d1" channel="1" tbeg="0.000" dur="0.00" score="2.0000" decision="YES"/>\n'
        '    <term file="d2" channel="1" tbeg="0.000" dur="0.00" score="2.0000" decision="NO"/>\n'
        "  </detected_termlist>\n"
        '  <detected_termlist termid="q2" term_search_time="1.0" oov_term_count="1">\n'
        '    <term file="d1" channel="1" tbeg="0.000" dur="0.00" score="-0.5000" decision="NO"/>\n'
        "  </detected_termlist>\n"
        "</stdlist>\n"
    )


@given(st.dictionaries(names, st.dictionaries(names, st.integers(-9999, 9999)), min_size=1, max_size=4))
def test_a_stdlist_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, whole: dict[str, dict[str, int]]
) -> None:
    scores = {query: {name: value / 100 for name, value in row.items()} for query, row in whole.items()}
    path = tmp_path_factory.mktemp("std") / "x.stdlist.xml"
    stdlist.write(path, scores)
    found = stdlist.read(path)
    assert found.scores == scores
    assert found.accepted == {q: {d for d, v in row.items() if v > 2} for q, row in scores.items()}


def test_a_score_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'q' in 'd' is nan"):
        stdlist.write(tmp_path / "x.xml", {"q": {"d": float("nan")}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "holds no query"),
        (GOOD + GOOD, "query 'q' is there twice"),
        (
            GOOD.replace("/>", "/>" + '<term file="d" score="2" decision="NO"/>'),
            "document 'd' is there twice",
        ),
        (GOOD.replace('"1"', '"high"'), "score of document 'd' is 'high', a finite number"),
        (GOOD.replace('"1"', '"inf"'), "score of document 'd' is 'inf'"),
        (GOOD.replace("YES", "MAYBE"), "decision on document 'd' is 'MAYBE', YES or NO"),
        (GOOD.replace(' termid="q"', ""), "a <detected_termlist> has no termid"),
        ('<term file="d" score="1" decision="YES"/>', "stands outside a <detected_termlist>"),
        ("<detected_termlist", "cannot be read .*a <stdlist> XML file was expected"),
    ],
)
def test_stdlists_that_cannot_be_used(tmp_path: Path, body: str, message: str) -> None:
    path = put(tmp_path / "x.stdlist.xml", f"<stdlist>{body}</stdlist>")
    with pytest.raises(ScoringError, match=message) as caught:
        stdlist.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE stdlist [<!ENTITY secret SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("head", [BOMB, OUTSIDE, '<!DOCTYPE stdlist SYSTEM "http://localhost/x.dtd">'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_and_entities_are_refused(tmp_path: Path, head: str, encoding: str) -> None:
    path = tmp_path / "x.stdlist.xml"
    path.write_bytes(f'{head}<stdlist><detected_termlist termid="&b;"/></stdlist>'.encode(encoding))
    with pytest.raises(ScoringError, match=r"declares a document type .* remove the <!DOCTYPE"):
        stdlist.read(path)


def test_files_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match="is a <termlist> file, a <stdlist> file was expected"):
        stdlist.read(put(tmp_path / "x.xml", "<termlist/>"))
    with pytest.raises(ScoringError, match=r"cannot be read .*No such file"):
        stdlist.read(tmp_path / "none.xml")
    with pytest.raises(ScoringError, match=r"cannot be read .*a <stdlist> XML file was expected"):
        stdlist.read(put(tmp_path / "x.xml", "&b;"))
    (tmp_path / "x.xml.gz").write_bytes(gzip.compress(b"<stdlist/>")[:-4])
    with pytest.raises(ScoringError, match="cannot be read"):
        stdlist.read(tmp_path / "x.xml.gz")
    with pytest.raises(ScoringError, match="cannot be read"):
        stdlist.read(put(tmp_path / "x.xml", "<?xml version='1.0' encoding='no-such'?><stdlist/>"))


def test_a_file_that_is_cut_off_between_two_queries_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.stdlist.xml"
    stdlist.write(path, {"p": {"d": 1.0}, "q": {"d": 2.0}})
    whole = path.read_text()
    for place in (whole.index("  <detected_termlist", whole.index('"p"')), whole.index("</stdlist>")):
        with pytest.raises(ScoringError, match=r"x.stdlist.xml cannot be read .*a <stdlist> XML file was"):
            stdlist.read(put(path, whole[:place]))


def test_tlist(tmp_path: Path) -> None:
    groundtruth.write_queries(tmp_path / "x.tlist.xml", ["q<1>", "é&"], "x.ecf.xml")
    assert groundtruth.read_queries(tmp_path / "x.tlist.xml") == ("q<1>", "é&")
    with pytest.raises(ScoringError, match="term 'a' is there twice"):
        groundtruth.read_queries(
            put(tmp_path / "y.xml", '<termlist><term termid="a"/><term termid="a"/></termlist>')
        )
    with pytest.raises(ScoringError, match="holds no term"):
        groundtruth.read_queries(put(tmp_path / "z.xml", "<termlist/>"))


def test_files_longer_than_a_block_and_blocks_without_an_element(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "LINE_LIMIT", 128)  # a block is one byte longer
    names = tuple(f"q{number}" for number in range(100))
    groundtruth.write_queries(tmp_path / "long.tlist.xml", names, "x.ecf.xml")
    assert groundtruth.read_queries(tmp_path / "long.tlist.xml") == names
    head, tail = '<termlist><term termid="a"/>'.ljust(129), "</termlist>"
    assert groundtruth.read_queries(put(tmp_path / "short.xml", head + tail.rjust(127))) == ("a",)
    with pytest.raises(ScoringError, match="has 128 bytes without an element"):
        groundtruth.read_queries(put(tmp_path / "empty.xml", head + tail.rjust(128)))


@given(st.data())
def test_a_ground_truth_is_read_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    plain = st.text("abé-_", min_size=1, max_size=6)
    documents = tuple(data.draw(st.lists(plain, min_size=1, max_size=5, unique=True)))
    queries = tuple(data.draw(st.lists(plain, min_size=1, max_size=4, unique=True)))
    chosen = st.frozensets(st.sampled_from(documents))
    truth = GroundTruth(queries, documents, {query: data.draw(chosen) for query in queries})
    folder = tmp_path_factory.mktemp("truth")
    groundtruth.write(folder, "demo", truth, dict.fromkeys(documents, 1.25))
    assert groundtruth.read(folder) == truth


def test_the_real_ground_truth(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "oracles" / "qbe_digits"
    truth = groundtruth.read(folder)
    assert (len(truth.queries), len(truth.documents)) == (20, 80)
    assert {len(spoken) for spoken in truth.targets.values()} == {8}
    assert groundtruth.read(folder / "groundtruth.tlist.xml") == truth
    # Query types have lists of their own in one folder: naming one of them chooses it.
    for name in ("groundtruth.ecf.xml.gz", "groundtruth.rttm.gz"):
        shutil.copy(folder / name, tmp_path / name)
    groundtruth.write_queries(tmp_path / "all.tlist.xml", truth.queries, "x")
    groundtruth.write_queries(tmp_path / "t1.tlist.xml", truth.queries[:3], "x")
    assert groundtruth.read(tmp_path / "t1.tlist.xml").queries == truth.queries[:3]
    with pytest.raises(ScoringError, match=r"holds 2 \(all.tlist.xml, t1.tlist.xml\) of \*.tlist.xml"):
        groundtruth.read(tmp_path)


def test_ground_truths_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match="is not there, a ground truth folder"):
        groundtruth.read(tmp_path / "none")
    with pytest.raises(ScoringError, match=r"cannot be read \(File name too long\), a ground truth folder"):
        groundtruth.read(tmp_path / ("n" * 300))
    with pytest.raises(ScoringError, match=r"cannot be read \(Not a directory\)"):
        groundtruth.read(put(tmp_path / "file", "") / "below")
    (tmp_path / "file").unlink()
    with pytest.raises(ScoringError, match=r"holds none of \*.tlist.xml"):
        groundtruth.read(tmp_path)
    truth = GroundTruth(("q",), ("d",), {"q": frozenset("d")})
    groundtruth.write(tmp_path, "x", truth, {"d": 1.0})
    other = put(tmp_path / "notes.txt", "")
    with pytest.raises(ScoringError, match="is no ground truth"):
        groundtruth.read(other)
    rttm = put(tmp_path / "x.rttm", "LEXEME e 1 0 1 q lex SELF <NA>\n")
    with pytest.raises(ScoringError, match="line 1: document 'e' is not in"):
        groundtruth.read(tmp_path)
    put(rttm, "SPEAKER d 1 0 1\nLEXEME d 1 0 1\n")
    with pytest.raises(ScoringError, match="line 2: 5 fields, at least 6 were expected"):
        groundtruth.read(tmp_path)
    put(rttm, "LEXEME d 1 0 1 other lex SELF <NA>\n")
    assert groundtruth.read(tmp_path).targets == {"q": frozenset()}
    excerpt = '<excerpt audio_filename="Audio/d.wav"/>'
    put(tmp_path / "x.ecf.xml", f"<ecf>{excerpt}{excerpt}</ecf>")
    with pytest.raises(ScoringError, match="document 'd' is there twice"):
        groundtruth.read(tmp_path)
    put(tmp_path / "x.ecf.xml", "<ecf/>")
    with pytest.raises(ScoringError, match="holds no document"):
        groundtruth.read(tmp_path)
