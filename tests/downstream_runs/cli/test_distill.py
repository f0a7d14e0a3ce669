"""`distill --demo`: the synthetic speech is made, and the rest is handed to upstream_arm."""

from __future__ import annotations

from pathlib import Path

import pytest

from downstream_runs import tasks
from downstream_runs.cli import main as cli
from downstream_runs.core.corpus import Corpus


def test_the_demo_is_made_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, handed = [], []
    monkeypatch.setattr(Corpus, "make_demo", lambda corpus, data: made.append((corpus.name, data)))
    monkeypatch.setattr(
        "upstream_arm.distillation.command.run", lambda options: handed.append(options.words) or 0
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main(["distill", "--demo", "--teacher", "random:hubert", "--preset", "tiny"]) == 0
    assert made == [(tasks.get("asr").corpus.name, Path("runs/demo-data"))]
    wanted = ("--teacher", "random:hubert", "--preset", "tiny", "--data", "runs/demo-data")
    assert handed == [wanted]


def test_two_corpora_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["distill", "--demo", "--data", "x", "--teacher", "random:hubert"]) == 2
    assert "--demo and --data both name a corpus" in capsys.readouterr().err
