"""Before the first of several runs every corpus is looked at, and what cannot be used is skipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile

from downstream_runs.cli import main as cli
from downstream_runs.core.results import PARTIAL
from downstream_runs.launch import batch

SILENCE = [0.0] * 4000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """LibriSpeech of one utterance a split, without marks; nothing of the other corpora."""
    for number, split in enumerate(("train-clean-100", "dev-clean", "test-clean")):
        folder = tmp_path / "data" / "LibriSpeech" / split / str(number) / "1"
        folder.mkdir(parents=True)
        soundfile.write(folder / f"{number}-1-0000.flac", SILENCE, 16000)
        (folder / f"{number}-1.trans.txt").write_text(f"{number}-1-0000 ONE\n")
    return tmp_path / "data"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks whose runs were started; none is really run."""
    found: list[str] = []

    def record(rows: Sequence[Any], rerun: str, launch: Any) -> list[batch.Ended]:
        found.extend(row.plan.task.name for row in rows)
        return []

    monkeypatch.setattr(batch, "run", record)
    return found


def test_what_cannot_run_is_said_first_and_the_rest_runs(
    data: Path, tmp_path: Path, started: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fbank", "all", "--data", str(data), "--out", str(tmp_path / "out"), "--partial"]
    lexicon = data / "lexicon"
    lexicon.mkdir()
    assert cli.main(command) == 1
    assert started == ["asr"]
    said = capsys.readouterr()
    first = [line for line in said.err.splitlines() if not line.startswith("note: ")]
    assert first[0] == "checking the corpora of pr, asr, ks, qbe, sid, asv, sd, ic, sf, er"
    assert first[1].startswith(f"pr will be skipped: {lexicon} has no ")
    assert first[2].startswith("asr: partial corpus: train-clean-100 1 of 28,539 utterances")
    assert [line.split(" ")[0] for line in first[3:]] == ["ks", "qbe", "sid", "asv", "sd", "ic", "sf", "er"]
    assert "fbank ks: skipped: no " in said.out or "fbank ks: skipped: looked" in said.out
    assert "0 of 10 runs have results" in said.out


def test_nothing_that_can_run_is_wrong_use(
    data: Path, tmp_path: Path, started: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fbank", "asr,sd", "--data", str(data), "--out", str(tmp_path / "out")]
    assert cli.main(command) == 2
    assert started == []
    assert "1 of 28,539 utterances" in capsys.readouterr().err


def test_a_plan_says_it_too_and_writes_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["plan", "fbank", "asr,sd", "--data", str(data), "--out", str(tmp_path / "out"), "--partial"]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "asr: partial corpus: train-clean-100 1 of 28,539 utterances" in said
    assert said.count(f"labelled {PARTIAL}") == 1
    assert "sd would be skipped: no Libri2Mix in " in said
    assert not (tmp_path / "out").exists()
