"""The `score` command: one JSON object, or one sentence and exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from downstream_runs.scoring.command import main


@pytest.fixture()
def files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "r.ark").write_text("u1 a b c\nu2 d\n")
    (tmp_path / "h.ark").write_text("u1 a x c\nu2 d\n")
    return str(tmp_path / "r.ark"), str(tmp_path / "h.ark")


@pytest.mark.parametrize(("metric", "length"), [("wer", 4), ("cer", 6)])
def test_prints_rate_and_counts(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], metric: str, length: int
) -> None:
    assert main([metric, "--ref", files[0], "--hyp", files[1]]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["metric"] == metric
    assert found["rate"] == 1 / length and found["percent"] == 100 / length
    assert found["counts"] == {"errors": 1, "length": length, "utterances": 2, "wrong_utterances": 1}
    assert (found["ref"], found["hyp"]) == files and err == ""


def test_a_doubled_space_is_said(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(files[1]).write_text("u1 a  b c\nu2 d\n")
    assert main(["wer", "--ref", files[0], "--hyp", files[1]]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["counts"]["errors"] == 1
    assert f"note: 1 transcripts of {files[1]}" in err


@pytest.mark.parametrize("text", ["u1 a b c\n", "u1 a\nu1 b\n", ""])
def test_bad_input_is_one_sentence(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    Path(files[1]).write_text(text)
    assert main(["wer", "--ref", files[0], "--hyp", files[1]]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1


def test_only_empty_references_have_no_rate(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(files[0]).write_text("u1 \nu2 \n")
    assert main(["wer", "--ref", files[0], "--hyp", files[1]]) == 2
    assert "only empty transcripts" in capsys.readouterr().err


def test_help_states_the_definition_and_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["wer", "--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "summed over all utterances / reference words" in text and "s3prl/metric/common.py" in text


def test_the_module_is_cheap_to_import() -> None:
    heavy = ["torch", "numpy", "pandas", "editdistance", "s3prl"]
    code = f"import sys, downstream_runs.scoring.command; sys.exit(any(map(sys.modules.get, {heavy!r})))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[3])
