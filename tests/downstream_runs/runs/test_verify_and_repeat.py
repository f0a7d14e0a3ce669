"""Results that are held against their files, and made again."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from pathlib import Path

import noise
import pytest

from downstream_runs.cli import main as cli
from downstream_runs.core import results
from downstream_runs.runs import repeat, verify
from upstream_arm.common.files import sha256_file

SHORT = ["total_steps=2", "eval_step=2", "save_step=2", "log_step=1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on noise."""
    root = tmp_path_factory.mktemp("proof")
    noise.make_corpus(root / "data")
    options = [part for setting in SHORT for part in ("-o", f"runner.{setting}")]
    options += ["--states", "last_hidden_state", "--layer", "0", "--efficiency"]
    command = ["fbank", "asr", "--data", str(root / "data"), "--recipe", "demo", "--seed", "5", *options]
    assert cli.main([*command, "--features", "off", "--device", "cpu", "--out", str(root / "out")]) == 0
    (path,) = (root / "out").glob("fbank/asr/*/result.json")
    return path


def copy(made: Path, tmp_path: Path) -> Path:
    for file in made.parent.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path / "result.json"


def rewrite(path: Path, **changes: object) -> None:
    results.write(path, dataclasses.replace(results.read(path), **changes))  # type: ignore[arg-type]


def test_a_good_result(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(made)]) == 0
    out = capsys.readouterr().out
    for part in (
        "wer of test-clean",
        "cer of test-clean",
        "by predictions",
        "by items.csv",
        " agree, 0 do not",
    ):
        assert part in out
    assert "MISMATCH" not in out


def test_a_result_is_named_by_its_run_too(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(made.parent)]) == 0
    assert " agree, 0 do not" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["test-clean-noLM-hyp.ark", "items.csv", "other"])
def test_a_pipe_among_the_files_is_not_waited_for(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = copy(made, tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    assert cli.main(["verify", str(path)]) == 1
    assert f"no number is computed again: {name}: neither a file nor a folder" in capsys.readouterr().out
    path.unlink()
    os.mkfifo(path)
    for command in (["verify", str(path)], ["repeat", str(path), "--out", str(tmp_path / "again")]):
        assert cli.main(command) == 2
        assert "it is a named pipe" in capsys.readouterr().err


def test_what_was_edited_is_found(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy(made, tmp_path)
    path.write_text(path.read_text().replace('"seed": 5', '"seed": 6'))
    assert cli.main(["verify", str(path)]) == 2
    assert "edited by hand" in capsys.readouterr().err
    assert cli.main(["verify", str(tmp_path / "nothing.json")]) == 2

    copy(made, tmp_path)
    items = tmp_path / "items.csv"
    rows = list(csv.reader(items.read_text().splitlines()))
    rows[1][4] = str(float(rows[1][4]) + 1)
    items.write_text("".join(",".join(row) + "\n" for row in rows))
    assert cli.main(["verify", str(path)]) == 1
    out = capsys.readouterr().out
    assert "MISMATCH items.csv: its SHA-256" in out and "MISMATCH wer of test-clean" in out

    # With all hashes renewed the numbers still give it away.
    artefacts = {**results.read(path).artefacts, "items.csv": sha256_file(items)}
    rewrite(path, artefacts=artefacts)
    assert cli.main(["verify", str(path)]) == 1
    out = capsys.readouterr().out
    assert "SHA-256" not in out and "MISMATCH wer of test-clean" in out
    items.write_text("metric,split\nwer,test-clean\n")
    assert cli.main(["verify", str(path)]) == 2
    assert "no file of test items" in capsys.readouterr().err


def test_trials_give_the_eer(tmp_path: Path, made: Path) -> None:
    trials = tmp_path / "trials.csv"
    trials.write_text("split,item,group,label,score\ntest,a b,a,1,0.9\ntest,a c,a,0,0.1\n")
    result = results.read(made)
    metric = dataclasses.replace(result.metrics[0], name="eer", value=50.0, counts={})
    (check,) = verify._numbers(tmp_path, dataclasses.replace(result, metrics=(metric,)))
    assert check.good is False and "trials.csv gives 0.0" in check.text


def test_the_same_again(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "again"
    assert cli.main(["repeat", str(made), "--out", str(out)]) == 0
    (again,) = map(results.read, out.glob("fbank/asr/*/result.json"))
    assert (again.states, again.layer) == ("last_hidden_state", 0) and again.efficiency is not None
    assert "the same result" in capsys.readouterr().out
    (path,) = out.glob("fbank/asr/*/result.json")
    assert path.parent.name == made.parent.name and results.read(path).seed == 5
    assert cli.main(["repeat", str(made), "--out", str(out)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_a_result_from_before_contents_were_sampled(made: Path) -> None:
    new = results.read(made)
    listing = json.loads((made.parent / "plan.json").read_text())["data_listing_sha256"]
    listings = {listing}
    old = dataclasses.replace(new, corpus=dataclasses.replace(new.corpus, hash=listing))
    found = next(iter(repeat._differences(old, new, listings)))
    assert found.good and "the same names and sizes; its contents were not looked at" in found.text
    found = next(iter(repeat._differences(new, new, listings)))
    assert found.good and new.corpus.hash[:12] in found.text


def test_another_result_is_said(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy(made, tmp_path)
    old = results.read(path)
    wer = next(metric for metric in old.metrics if metric.name == "cer" and metric.split == "test-clean")
    other = dataclasses.replace(wer, value=50.0, counts={"errors": 1, "length": 2})
    rewrite(path, metrics=tuple(other if metric is wer else metric for metric in old.metrics))
    from downstream_runs.engine import session

    monkeypatch.setattr(session, "run", lambda plan, with_demo: old)
    assert cli.main(["repeat", str(path), "--out", str(tmp_path / "out")]) == 1
    out = capsys.readouterr().out
    assert "MISMATCH cer of test-clean was 50.0, is " in out and "another result" in out


@pytest.mark.parametrize("command", [("pytest", "tests"), ("./run_superb.sh", "fbank", "asr", "--wrong")])
def test_a_command_that_cannot_be_repeated(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    path = copy(made, tmp_path)
    rewrite(path, command=command)
    assert cli.main(["repeat", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "cannot be repeated" in capsys.readouterr().err
