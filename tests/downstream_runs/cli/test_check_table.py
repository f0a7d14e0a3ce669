"""`check --table`: all of a table's faults at once, and nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import own_corpus
import pytest

from downstream_runs.cli.main import main


def checked(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[int, str]:
    code = main(["check", *words, "--out", str(folder / "runs")])
    found = capsys.readouterr()
    return code, found.out + found.err


def test_all_faults_of_rows_files_and_audio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_corpus.make(tmp_path)
    rows = own_corpus.rows()
    changes: Mapping[int, Mapping[str, str]] = {
        0: {"label": ""},
        1: {"split": "eval"},
        2: {"path": "audio/gone.wav"},
        3: {"path": rows[4]["path"]},
        29: {"label": "new"},
    }
    table = own_corpus.write(
        tmp_path / "tones.csv", [{**row, **changes.get(at, {})} for at, row in enumerate(rows)]
    )
    (tmp_path / rows[10]["path"]).write_text("no audio at all")
    code, text = checked(capsys, tmp_path, "classification", "--table", str(table))
    assert code == 2
    for fault in (
        "line 2 has no label",
        "line 3 has the split 'eval', expected train",
        "line 4 names audio/gone.wav, and there is no such file",
        f"line 6 names {rows[4]['path']} again, as line 5 does",
        "line 31 has the label 'new', which no row of train has",
        rows[10]["path"],
    ):
        assert fault in text
    assert text.count("red") == 6 and not list((tmp_path / "runs").glob("*/*/*/plan.json"))


def test_all_faults_of_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.csv").write_text("file,label,label\na,b,c\n")
    code, text = checked(capsys, tmp_path, "--table", str(tmp_path / "bad.csv"))
    assert code == 2 and text.count("red") == 3
    assert all(
        part in text for part in ("two columns 'label'", "no column path", "neither a column split nor")
    )


def test_many_faults_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = "".join(f"{number}.wav,{number % 2},{split}\n" for number in range(40) for split in ("train",))
    (tmp_path / "bad.csv").write_text("path,label,split\n" + lines * 3)
    code, text = checked(capsys, tmp_path, "--table", str(tmp_path / "bad.csv"))
    # 120 files are not there, 80 are named again, dev and test have none.
    assert code == 2 and text.count("red") == 101 and "102 more of 202 faults" in text


def test_a_good_table_and_its_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_corpus.make(tmp_path)
    rows = [{key: row[key] for key in ("path", "units", "split", "speaker")} for row in own_corpus.rows()]
    table = own_corpus.write(tmp_path / "said.csv", [*rows[:-1], {**rows[-1], "speaker": "anna"}])
    code, text = checked(capsys, tmp_path, "--table", str(table))
    assert code == 0
    assert "units, train 12, dev 6, test 12 utterances, every file decoded to its end" in text
    assert "every result will say: 1 of 3 speakers are in several of test and train (anna)" in text
    turns = own_corpus.write(tmp_path / "talks.csv", own_corpus.turns(tmp_path))
    code, text = checked(capsys, tmp_path, "--table", str(turns))
    assert code == 0 and "diarization, train 4, dev 2, test 2 utterances" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "which are of classification and transcription and units: name the kind"),
        (("classification", "units"), "classification and units were given: name one"),
        (("asr",), "cannot be made a task of the kind 'asr'"),
        (("--data", "x"), "--data is for the corpora of SUPERB's tasks"),
        (("verification",), "add --trials FILE"),
    ],
)
def test_words_that_cannot_be_used(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = checked(capsys, tmp_path, *words, "--table", str(own_corpus.make(tmp_path)))
    assert code == 2 and message in text


def test_all_faults_of_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = {"anna": "train", "bert": "train", "cleo": "dev", "dora": "dev", "emil": "test", "finn": "test"}
    table = own_corpus.write(tmp_path / "who.csv", own_corpus.voices(tmp_path, parts))
    trials = tmp_path / "trials.txt"
    trials.write_text("1 voices/emil-0.wav voices/emil-1.wav\n2 a b\n1 voices/emil-0.wav gone.wav\n0 a\n")
    code, text = checked(capsys, tmp_path, "--table", str(table), "--trials", str(trials))
    assert code == 2 and text.count("red") == 4
    assert "line 2 is '2 a b'" in text and "line 3 names gone.wav" in text and "0 of two" in text
