"""Runs on a part of a corpus: the label and its counts in every file that a run and its reports write."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import noise
import pytest
import voxceleb1_files

from downstream_runs import tasks
from downstream_runs.cli import main as cli
from downstream_runs.cli import status as shown_by
from downstream_runs.core import results
from downstream_runs.corpora import librispeech
from downstream_runs.runs import status, submission
from reports import build, compare, ours, render
from reports.columns import COLUMNS
from reports.systems import System
from reports.tables import paper
from upstream_arm.common.errors import UsageError

SHORT = ("total_steps=2", "eval_step=2", "save_step=2", "log_step=1")


def unmarked(root: Path) -> Path:
    for mark in [*root.rglob("DEMO.txt"), *root.rglob("DEMO.json")]:
        mark.unlink()
    return root


def command(task: str, data: Path, out: Path, *more: str) -> list[str]:
    steps = () if task == "qbe" else tuple(word for value in SHORT for word in ("-o", f"runner.{value}"))
    places = ("--data", str(data), "--out", str(out), "--device", "cpu", "--features", "off")
    return ["fbank", task, *places, "--recipe", "demo", *steps, *more]


def the_run(out: Path, task: str) -> Path:
    """The folder of the one run that was made; of a task with folds that of the first."""
    return sorted(path.parent for path in out.glob(f"fbank/{task}/**/plan.json"))[0]


def _asr(folder: Path, request: pytest.FixtureRequest) -> None:
    noise.make_corpus(folder)


def _sid(folder: Path, request: pytest.FixtureRequest) -> None:
    voxceleb1_files.make(folder)


def _ks(folder: Path, request: pytest.FixtureRequest) -> None:
    for root in request.getfixturevalue("label_demos").glob("speech_commands*"):
        shutil.copytree(root, folder / root.name)


def _er(folder: Path, request: pytest.FixtureRequest) -> None:
    """Two sessions of the five."""
    root = folder / "IEMOCAP_full_release"
    shutil.copytree(request.getfixturevalue("label_demos") / root.name, root)
    for number in (1, 2, 4):
        shutil.rmtree(root / f"Session{number}")


def _qbe(folder: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("espeakng_loader")
    tasks.get("qbe").corpus.make_demo(folder)


CASES = [
    pytest.param("asr", _asr, "train-clean-100", "10 of 28,539 utterances", id="asr"),
    pytest.param("sid", _sid, "train", "14 of 138,361 utterances", id="sid"),
    pytest.param("ks", _ks, "_background_noise_", "2 of 6 files", id="ks"),
    pytest.param("er", _er, "Session1", "0 of 1,085 utterances", id="er"),
    pytest.param("qbe", _qbe, "eval", "8 of 138 queries", id="qbe", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("task", "make", "part", "count"), CASES)
def test_the_label_and_its_counts_are_in_every_file(
    task: str,
    make: Callable[[Path, pytest.FixtureRequest], None],
    part: str,
    count: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, out = tmp_path / "data", tmp_path / "runs"
    data.mkdir()
    make(data, request)
    unmarked(data)
    assert cli.main(command(task, data, out)) == 2
    said = capsys.readouterr().err
    refused = "part dev has 16 of 148,642 utterances" if task == "sid" else f"{part} has {count}"
    assert refused in said and "or add --partial to use what is there" in said
    assert not list(out.glob("fbank/*/*/plan.json"))

    assert cli.main(command(task, data, out, "--partial")) == 0
    printed = capsys.readouterr()
    folder = the_run(out, task)
    shown = f"partial corpus: {part} {count}" if part in ("train-clean-100", "train", "Session1") else count
    table = printed.out.replace("\\", "")  # what Markdown takes for signs of its own has one before it
    assert shown in printed.err and f"{part} has {count}" in table

    plan = json.loads((folder / "plan.json").read_text())
    assert plan["labels"] == ["partial"] and plan["partial"][part] == count
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert events[0]["event"] == "start" and events[0]["partial"][part] == count
    metrics = folder / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
    assert all("partial" in line["labels"] for line in [*events, *lines])
    log = (folder / "s3prl.log").read_text()
    assert "labels: partial" in log and f"{part} {count}" in log
    [items] = [path for path in (folder / "items.csv", folder / "trials.csv") if path.exists()]
    with items.open() as file:
        assert {row["labels"] for row in csv.DictReader(file)} == {"partial"}
    for path in out.glob(f"fbank/{task}/**/result.json"):
        result = results.read(path)
        assert "partial" in result.labels and result.corpus.name.startswith("part of ")
        assert f"{part} has {count}" in result.shortfall == result.deviations[0]
    every = list(status.find(out))
    assert all("partial" in one.labels and count in one.partial for one in every)  # the mean of folds too
    found = next(one for one in every if (one.folder / "plan.json").exists())
    assert f"{part} {count}" in found.partial
    for text in (shown_by._text([found], out), shown_by._html([found], out, None)):
        assert f"{part} {count}" in text and "partial" in found.cells(out)[-2]
    _check_tables(sorted(out.glob(f"fbank/{task}/*/result.json"))[0], task, part, count)
    _check_submission(out, task, f"{part} has {count}")
    if task in ("asr", "er", "qbe"):
        path = sorted(out.glob(f"fbank/{task}/*/result.json"))[0]
        assert cli.main(["verify", str(path)]) == 0
        assert cli.main(["repeat", str(path), "--out", str(tmp_path / "again")]) == 0
        assert "the same result" in capsys.readouterr().out


def _check_tables(path: Path, task: str, part: str, count: str) -> None:
    systems = ours.systems([(path, results.read(path))])
    columns = [column for column in COLUMNS if column.task == task]
    assert "partial" in systems[0].name
    for text in (render.to_markdown(paper.table1(systems, columns)), paper.as_csv(systems, columns)):
        assert "partial" in text and f"{part} has {count}" in text.replace("\\", "")


def _check_submission(out: Path, task: str, counted: str) -> None:
    with pytest.raises(UsageError) as caught:
        submission.submit("fbank", out, recipe="demo")
    [line] = [line for line in str(caught.value).splitlines() if line.strip().startswith(f"{task}: ")]
    assert "is labelled partial" in line and counted in line


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    noise.make_corpus(tmp_path / "data")
    return unmarked(tmp_path / "data")


def test_reports_say_the_counts_in_every_format(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    assert cli.main(command("asr", corpus, out, "--partial")) == 0
    build.write([out], tmp_path / "report", whole=True)
    counted = "train-clean-100 has 10 of 28,539 utterances"
    for name in ("report.md", "index.html", "tables/runs.csv", "tables/runs.tex", "tables/table1.tex"):
        text = (tmp_path / "report" / name).read_text()
        assert "partial" in text and counted in text, name
    assert "partial" in (tmp_path / "report" / "figures" / "curves_dev.svg").read_text()


def test_a_corpus_that_was_completed_is_another_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the data that a task reads happen to be the same: the label would be wrong."""
    out = tmp_path / "runs"
    assert cli.main(command("asr", corpus, out, "--partial")) == 0
    for part, utterances in noise.SPLITS.items():
        monkeypatch.setitem(librispeech.CORPUS.official, part, utterances)  # type: ignore[arg-type]
    for more in ((), ("--partial",)):
        capsys.readouterr()
        assert cli.main(command("asr", corpus, out, *more)) == 2
        said = capsys.readouterr().err
        assert "holds a run on a partial corpus: train-clean-100 10 of 28,539 utterances" in said
        assert "now there is the whole corpus, and two runs are never mixed; use --rerun always" in said
    assert cli.main(command("asr", corpus, out, "--rerun", "always")) == 0
    [path] = out.glob("fbank/asr/*/result.json")
    whole = results.read(path)
    assert whole.labels == ("shortened",) and whole.shortfall == ""
    assert cli.main(command("asr", corpus, out, "--partial")) == 0
    assert results.read(path) == whole, "the option says nothing of a whole corpus"


def test_different_parts_are_not_compared(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    assert cli.main(command("asr", corpus, out, "--partial")) == 0
    [path] = out.glob("fbank/asr/*/result.json")
    one = results.read(path)
    row = ours.systems([(path, one)])[0]

    def system(name: str, **corpus_changes: Any) -> System:
        result = dataclasses.replace(one, corpus=dataclasses.replace(one.corpus, **corpus_changes))
        return dataclasses.replace(row, name=name, runs=((path, result),))

    first, same, other = system("one"), system("two"), system("three", hash="0" * 64)
    assert "Δ two" in str(compare.values_table([first, same]))
    assert "different parts of a corpus" not in str(compare.values_table([first, same]).notes)
    assert "different parts of a corpus" in str(compare.values_table([first, other]).notes)
    assert ours.gather([out]).systems[0].name == row.name
