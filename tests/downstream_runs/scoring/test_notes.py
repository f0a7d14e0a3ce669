"""Headers, quotes and other ways of writing: what is left out, what is counted, what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from downstream_runs.cli.main import main as cli
from downstream_runs.scoring import notes, wer


def main(arguments: list[str]) -> int:
    return cli(["score", *arguments])


def score(
    capsys: pytest.CaptureFixture[str], folder: Path, metric: str, ref: str, hyp: str, ending: str = "ark"
) -> tuple[dict[str, Any], str]:
    """What the command prints of two files, and on stderr."""
    for name, text in (("r", ref), ("h", hyp)):
        (folder / f"{name}.{ending}").write_text(text, encoding="utf-8")
    paths = [str(folder / f"{name}.{ending}") for name in "rh"]
    assert main([metric, "--ref", paths[0], "--hyp", paths[1]]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == "".join(f"note: {note}\n" for note in found["notes"])
    return found, err


LABELS = "a.wav,yes\nb c.wav,no\n"


@pytest.mark.parametrize(
    "text",
    [
        '"a.wav","yes"\n"b c.wav","no"\n',
        'a.wav,"yes"\r\n"b c.wav",no\r\n',
        "\ufeff" + LABELS,
        "file,label\n" + LABELS,
        '"Filename","Label"\n' + LABELS,
    ],
)
def test_labels_in_other_tables_are_the_same_labels(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, err = score(capsys, tmp_path, "acc", LABELS, text, "csv")
    assert found["rate"] == 1.0 and found["counts"]["utterances"] == 2
    assert ("names columns, so it was not scored" in err) == ("abel" in text)
    both, err = score(capsys, tmp_path, "acc", text, text, "csv")
    assert both["counts"]["utterances"] == 2 and err.count("names columns") == 2 * ("abel" in text)


def test_quoted_and_plain_intents_are_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = "x.wav,activate,lights,none\n"
    assert score(capsys, tmp_path, "acc", plain, 'x.wav,"activate,lights,none"\n', "csv")[0]["rate"] == 1.0
    headed = "path,action,object,location\n" + plain
    found, err = score(capsys, tmp_path, "acc", headed, plain, "csv")
    assert found["counts"]["utterances"] == 1 and "('path', 'action,object,location')" in err
    doubled = 'u,"say ""hi"" now"\n'
    assert wer.read_csv(put(tmp_path / "q.csv", doubled)) == {"u": 'say "hi" now'}
    assert wer.read_csv(put(tmp_path / "q.csv", 'u,say "hi"\n')) == {"u": 'say "hi"'}


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("ending", "head"),
    [("tsv", "utt_id\ttext\n"), ("ark", "id transcript\n"), ("tsv", "Name\tReference text\n")],
)
def test_headers_of_transcripts(
    ending: str, head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = "\t" if ending == "tsv" else " "
    found, err = score(capsys, tmp_path, "wer", f"{head}u{mark}a b\n", f"u{mark}a b\n", ending)
    assert found["counts"]["utterances"] == 1 and "the first line of" in err


@pytest.mark.parametrize("line", ["file down\n", "name of the rose\n", "u text\n", "id \n"])
def test_utterances_that_only_look_like_a_header_are_scored(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, err = score(capsys, tmp_path, "wer", line + "v a\n", line + "v a\n")
    assert found["counts"]["utterances"] == 2 and "names columns" not in err


def test_only_the_first_line_can_be_a_header(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = score(capsys, tmp_path, "acc", "u,a\nfile,label\n", "u,a\nfile,label\n", "csv")
    assert found["counts"]["utterances"] == 2
    assert (
        main(["acc", "--ref", str(put(tmp_path / "r.csv", "file,label\n")), "--hyp", str(tmp_path / "h.csv")])
        == 2
    )
    assert f"{tmp_path / 'r.csv'} holds column names and nothing below" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metric", "ref", "hyp", "what", "errors", "gone"),
    [
        ("wer", "HELLO WORLD", "hello world", "upper and lower case", 2, 2),
        ("cer", "AB c", "ab c", "upper and lower case", 2, 2),
        ("per", "AH0 B", "ah0 b", "upper and lower case", 2, 2),
        ("acc", "Yes", "yes", "upper and lower case", 1, 1),
        ("wer", "DON'T GO X", "DON\u2019T GO Y", "forms of the apostrophe", 2, 1),
        ("wer", "DON'T", "DON`T", "forms of the apostrophe", 1, 1),
        ("wer", "é a", "e\u0301 a", "composed and decomposed letters (Unicode)", 1, 1),
        ("acc", "a,b,c", "a, b, c", "white space", 1, 1),
        ("wer", "a b", "a\u00a0b", "white space", 2, 2),
        ("wer", "a b", "a, b.", "punctuation", 2, 2),
        ("wer", "say hi", '"say" hi', "quotation marks", 1, 1),
        ("wer", "DON'T GO", "don\u2019t go", "upper and lower case, forms of the apostrophe,", 2, 2),
        ("sf", "PLAY B-x ONE E-x", "play B-x one E-x", "upper and lower case", 3, 3),
    ],
)
def test_what_another_way_of_writing_costs_is_said(
    metric: str,
    ref: str,
    hyp: str,
    what: str,
    errors: int,
    gone: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found, err = score(capsys, tmp_path, metric, f"u {ref}\n", f"u {hyp}\n")
    assert found["counts"].get("errors", found["counts"].get("cer_errors")) == errors
    assert f"note: {gone} of the {errors} errors are differences in {what}" in err


@pytest.mark.parametrize(
    ("metric", "ref", "hyp"),
    [
        ("wer", "a b", "a c"),
        ("wer", "a b", "a b"),
        ("per", "AH0 , B", "AH0 B"),
        ("cer", "a  b", "a  b"),
        ("acc", "-1", "1"),
        ("sf", "B-x ONE E-x", "B-x TWO E-x"),
    ],
)
def test_true_errors_get_no_note(
    metric: str, ref: str, hyp: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(capsys, tmp_path, metric, f"u {ref}\n", f"u {hyp}\n")[0]["notes"] == []


def test_empty_references_are_said_and_empty_labels_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, err = score(capsys, tmp_path, "wer", "u \nv a\n", "u x\nv a\n")
    assert found["rate"] == 1.0 and f"1 of 2 references of {tmp_path / 'r.ark'} are empty" in err
    paths = ["--ref", str(put(tmp_path / "r.ark", "u \nv a\n")), "--hyp", str(tmp_path / "r.ark")]
    assert main(["acc", *paths]) == 2
    assert "1 utterances of" in (err := capsys.readouterr().err) and "have no label (u)" in err
    assert score(capsys, tmp_path, "acc", "u a\n", "u \n")[0]["rate"] == 0.0


def test_exchanged_labels_are_suspected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "t.tsv", "item\tlabel\tscore\na\t1\t0\nb\t0\t1\n")
    assert main(["eer", "--hyp", str(tmp_path / "t.tsv")]) == 0
    assert "are the labels exchanged, or the scores distances?" in capsys.readouterr().err
    for ones, others, rate, told in (((0, 1, 4), (2, 3, 5), 2 / 3, True), ((1,), (1,), 0.5, False)):
        rows = [f"{label} {value}\t{label}\t{value}\n" for label in (0, 1) for value in (others, ones)[label]]
        put(tmp_path / "t.tsv", "item\tlabel\tscore\n" + "".join(rows))
        assert main(["eer", "--hyp", str(tmp_path / "t.tsv")]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["rate"] == pytest.approx(rate) and ("exchanged" in err) == told


def test_times_finer_than_dscores_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def turns(*times: str) -> str:
        return "".join(f"SPEAKER f 1 {time} <NA> <NA> A <NA> <NA>\n" for time in times)

    fine, err = score(capsys, tmp_path, "der", turns("0.0004 1.0", "2 3.00049"), turns("0 1.001"), "rttm")
    assert f"note: 2 turns of {tmp_path / 'r.rttm'} have times finer than a millisecond" in err
    assert "h.rttm" not in err
    _, err = score(capsys, tmp_path, "der", turns("0.0004 1.0", "2 3.000"), turns("0 1.001"), "rttm")
    assert f"note: 1 turns of {tmp_path / 'r.rttm'} have" in err
    plain, err = score(capsys, tmp_path, "der", turns("0.000 1.0", "2 3.000"), turns("0 1.001"), "rttm")
    assert fine["rate"] == plain["rate"] and err == ""


def test_queries_that_were_not_searched_are_said(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = data_dir / "oracles" / "qbe_digits"
    trial = '<term file="0_george_1" score="1" decision="YES"/>'
    one = f'<stdlist><detected_termlist termid="q_0_jackson_0">{trial}</detected_termlist></stdlist>'
    assert main(["mtwv", "--ref", str(folder), "--hyp", str(put(tmp_path / "x.stdlist.xml", one))]) == 0
    assert "note: 19 of 20 queries are not in" in capsys.readouterr().err


def test_names_and_texts_of_columns_are_in_lower_case() -> None:
    for words in (notes.NAME_COLUMNS, notes.TEXT_COLUMNS):
        assert all(word == word.lower() for word in words)
