"""The `score` command: one JSON object, or one sentence and exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from downstream_runs.cli.main import main as cli
from downstream_runs.scoring.entries import ENTRIES


def main(arguments: list[str]) -> int:
    return cli(["score", *arguments])


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
    assert "required: --ref" in refused(capsys, metric, "--hyp", files[1])


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


@pytest.mark.parametrize("metric", ["wer", "cer", "per", "acc", "der", "eer", "mtwv", "sf"])
def test_help_states_the_definition_and_its_source(metric: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([metric, "--help"])
    assert caught.value.code == 0
    text = "".join(capsys.readouterr().out.split())
    assert "".join(ENTRIES[metric].definition.split()) in text
    assert "".join(ENTRIES[metric].source.split()) in text


def test_the_module_is_cheap_to_import() -> None:
    heavy = ["torch", "numpy", "scipy", "pandas", "editdistance", "rapidfuzz", "s3prl"]
    modules = "downstream_runs.cli.score, downstream_runs.scoring.mtwv, downstream_runs.scoring.der"
    code = f"import sys, {modules}; sys.exit(any(map(sys.modules.get, {heavy!r})))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[3])


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert main([str(argument) for argument in arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ((), "METRIC"),
        (("wer", "--hyp", "h.ark"), "--ref"),
        (("wer", "--ref", "r.ark"), "--hyp"),
        (("eer", "--ref", "r.tsv"), "--hyp"),
    ],
)
def test_a_metric_and_its_files_must_be_named(
    arguments: tuple[str, ...], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"required: {missing}" in refused(capsys, *arguments)


def test_every_metric_is_also_given_in_percent(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    oracles = data_dir / "oracles"
    put = {"r.ark": "u B-x ONE E-x\n", "h.ark": "u B-x TWO E-x B-y A E-y\n"}
    put |= {"r.rttm": "SPEAKER f 1 0 8 <NA> <NA> A\n", "h.rttm": "SPEAKER f 1 0 7 <NA> <NA> A\n"}
    for name, text in put.items():
        (tmp_path / name).write_text(text)
    texts, turns = (
        ("--ref", tmp_path / f"r.{end}", "--hyp", tmp_path / f"h.{end}") for end in ("ark", "rttm")
    )
    system = oracles / "qbe_digits" / "mfcc_dtw_top20.stdlist.xml.gz"
    rates = [
        (run(capsys, metric, *files)["percent"], rate)
        for metric, files, rate in (
            ("sf", texts, 2 / 3),
            ("der", turns, 1 / 8),
            ("eer", ("--hyp", oracles / "asv" / "scores.tsv.gz"), 0.09880952380941636),
            ("mtwv", ("--ref", oracles / "qbe_digits", "--hyp", system), 0.1441319),
        )
    ]
    assert [percent for percent, _ in rates] == pytest.approx([100 * rate for _, rate in rates], abs=1e-5)


def test_the_largest_options_are_taken(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = data_dir / "oracles" / "qbe_digits"
    system = folder / "mfcc_dtw_top20.stdlist.xml.gz"
    found = run(capsys, "mtwv", "--ref", folder, "--hyp", system, "--default-score", "1e300")
    assert (found["rate"], found["default_score"]) == (0.0, 1e300)
    (tmp_path / "x.rttm").write_text("SPEAKER f 1 0 8 <NA> <NA> A\n")
    both = ("--ref", tmp_path / "x.rttm", "--hyp", tmp_path / "x.rttm")
    assert "without reference speech" in refused(capsys, "der", *both, "--collar", "1000000")


def test_of_many_names_the_first_five_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"x{number:02d}" for number in range(40)]
    (tmp_path / "x.ark").write_text("".join(f"{name} \n" for name in reversed(names)))
    both = ("--ref", tmp_path / "x.ark", "--hyp", tmp_path / "x.ark")
    assert "have no label (x00, x01, x02, x03, x04, ...)" in refused(capsys, "acc", *both)
    (tmp_path / "x.rttm").write_text("".join(f"SPEAKER {name} 1 0 8 <NA> <NA> A\n" for name in names))
    (tmp_path / "x.uem").write_text("f 1 0 2\n")
    both = ("--ref", tmp_path / "x.rttm", "--hyp", tmp_path / "x.rttm")
    message = refused(capsys, "der", *both, "--uem", tmp_path / "x.uem")
    assert "40 files with turns are not in" in message and "(x00, x01, x02, x03, x04, ...)" in message


def test_phones_and_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ref, hyp = tmp_path / "truth.csv", tmp_path / "predict.csv"
    ref.write_text("a b.wav,activate,lights,none\nc.wav,decrease,heat,kitchen\n")
    hyp.write_text("a b.wav,activate,lights,none\nc.wav,decrease,heat,none\n")
    found = run(capsys, "acc", "--ref", ref, "--hyp", hyp)
    assert (found["rate"], found["percent"]) == (0.5, 50.0) and found["counts"]["errors"] == 1
    (tmp_path / "r.ark").write_text("u1 HH AH0\n")
    (tmp_path / "h.ark").write_text("u1 HH\n")
    assert run(capsys, "per", "--ref", tmp_path / "r.ark", "--hyp", tmp_path / "h.ark")["rate"] == 0.5


def test_trials(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "eer", "--hyp", data_dir / "oracles" / "asv" / "scores.tsv.gz")
    assert found["rate"] == 0.09880952380941636 and found["ref"] is None
    assert (found["counts"]["targets"], found["counts"]["false_accepts"]) == (280, 83)
    ref, hyp = tmp_path / "labels.tsv", tmp_path / "trials.csv"
    ref.write_text("item\tlabel\nx y\t1\nx z\t0\n")
    hyp.write_text("split,item,score\ntest,x z,0.5\n\ntest,x y,0.75\n")
    assert run(capsys, "eer", "--ref", ref, "--hyp", hyp)["rate"] == 0.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns of an empty file"),
        ("0\t0.5\ta\tb\n", "columns 0, 0.5, a, b, a first line with enroll, test"),
        ("enroll\ttest\tlabel\na\tb\t1\n", "enroll, test (or item) and score was expected"),
        ("item\tlabel\tscore\na\t1\n", "line 2: 2 fields, 3 were expected"),
        ("item\tlabel\tscore\na\t1\t1\na\t0\t1\n", "line 3: trial 'a' is there twice"),
        ("item\tlabel\tscore\na\tyes\t1\n", "line 2: the label is 'yes'"),
        ("item\tlabel\tscore\na\t1\thigh\n", "line 2: the score is 'high'"),
        ("item\tlabel\tscore\na\t1\t2\n", "1 of 1 trials are targets"),
        ("split\titem\tlabel\tscore\ndev\ta\t1\t2\ntest\tb\t0\t2\n", "several splits (dev, test)"),
    ],
)
def test_trial_files_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "t.tsv").write_text(text)
    assert message in refused(capsys, "eer", "--hyp", tmp_path / "t.tsv")


def test_labels_of_other_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.tsv").write_text("item\tlabel\na\t1\nb\t0\n")
    (tmp_path / "h.tsv").write_text("item\tscore\na\t1\nc\t0\n")
    message = refused(capsys, "eer", "--ref", tmp_path / "r.tsv", "--hyp", tmp_path / "h.tsv")
    assert "1 of 2 reference trials have no scored trials (b)" in message
    assert "1 scored trials have no reference (c)" in message


def test_turns(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = data_dir / "oracles" / "sd"
    pair = ("--ref", folder / "dscore_unit.ref.rttm", "--hyp", folder / "dscore_unit.sys.rttm")
    found = run(capsys, "der", *pair)
    assert round(found["percent"], 4) == 26.3931 and found["counts"]["scored"] == 31.046
    strict = ("--collar", "0.25", "--ignore-overlaps", "--uem", folder / "dscore_unit.uem")
    found = run(capsys, "der", *pair, *strict)
    assert round(found["percent"], 2) == 21.53
    assert (found["collar"], found["ignore_overlaps"]) == (0.25, True)
    assert found["uem"] == str(strict[-1])
    assert "--collar -1.0 is no time" in refused(capsys, "der", *pair, "--collar", "-1")
    assert "--collar: 'nan' is no finite number" in refused(capsys, "der", *pair, "--collar", "nan")


def test_files_in_which_nobody_was_heard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ref, hyp, uem = tmp_path / "r.rttm", tmp_path / "h.rttm", tmp_path / "u.uem"
    line = "SPEAKER {} 1 0 2 <NA> <NA> A <NA> <NA>\n"
    ref.write_text(line.format("f") + line.format("g"))
    hyp.write_text(line.format("f"))
    uem.write_text("f 1 0 2\ng 1 0 2\n")
    assert "name all files that are to be scored in --uem" in refused(
        capsys, "der", "--ref", ref, "--hyp", hyp
    )
    assert run(capsys, "der", "--ref", ref, "--hyp", hyp, "--uem", uem)["rate"] == 0.5
    uem.write_text("f 1 0 2\n")
    message = refused(capsys, "der", "--ref", ref, "--hyp", hyp, "--uem", uem)
    assert f"1 files with turns are not in {uem} (g), so nothing was scored" in message
    ref.write_text(line.format("f"))
    uem.write_text("f 1 4 5\n")
    assert "without reference speech" in refused(capsys, "der", "--ref", ref, "--hyp", hyp, "--uem", uem)


def test_term_detection(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = data_dir / "oracles" / "qbe_digits"
    system = folder / "mfcc_dtw_top20.stdlist.xml.gz"
    found = run(capsys, "mtwv", "--ref", folder, "--hyp", system)
    assert round(found["rate"], 7) == 0.1441319 and found["counts"]["defaulted"] == 1200
    assert found["default_score"] == -10.0
    one_file = run(capsys, "mtwv", "--ref", folder / "groundtruth.tlist.xml", "--hyp", system)
    assert one_file["counts"] == found["counts"]
    # A default above all other scores accepts what was not reported first.
    assert run(capsys, "mtwv", "--ref", folder, "--hyp", system, "--default-score", "9")["rate"] == 0.0
    assert "ground truth folder" in refused(capsys, "mtwv", "--ref", tmp_path, "--hyp", system)


def test_slots(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracle = json.loads((data_dir / "oracles" / "sf" / "expected.json").read_text())
    for name in ("refs", "hyps"):
        text = "".join(f"u{number} {line}\n" for number, line in enumerate(oracle[name]))
        (tmp_path / f"{name}.ark").write_text(text)
    ref, hyp = tmp_path / "refs.ark", tmp_path / "hyps.ark"
    found = run(capsys, "sf", "--ref", ref, "--hyp", hyp)
    assert found["rates"] == oracle["expected"]["s3prl_metric"]
    assert found["rate"] == found["rates"]["slot_type_f1"]
    ref.write_text("u HELLO\n")
    hyp.write_text("u HELLO\n")
    assert "no slot-value CER" in refused(capsys, "sf", "--ref", ref, "--hyp", hyp)
