"""Every kept student of a distillation through tasks: which students, and what is shown of their scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import own_corpus
import pytest
import torch

from downstream_runs.cli import evaluate_run, main
from reports.columns import BY_KEY
from upstream_arm.checkpoint import save_student
from upstream_arm.common.errors import UsageError
from upstream_arm.distillation.settings import TINY_STUDENT
from upstream_arm.student import Student


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    state = Student(TINY_STUDENT).state_dict()
    for name in ("student-00000020", "student-00000040", "student-00000060", "student"):
        save_student(state, TINY_STUDENT, tmp_path / f"{name}.safetensors", {"steps": json.dumps(75)})
    return tmp_path


def test_the_students_of_a_folder(folder: Path) -> None:
    assert [*evaluate_run.students(folder)] == [20, 40, 60, 75]
    (folder / "student.safetensors").unlink()
    assert [*evaluate_run.students(folder)] == [20, 40, 60]
    with pytest.raises(UsageError, match=r"keeps no student.*--keep-every"):
        evaluate_run.students(folder / "nowhere")


def test_score_against_step(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = [BY_KEY["sid_acc"], BY_KEY["pr_per"]]
    evaluate_run.show(folder, {(40, "sid_acc"): 9.5, (20, "sid_acc"): 8.0, (20, "pr_per"): 90.0}, columns)
    table = (folder / "proxy.md").read_text()
    assert "| 20 | 8.00 | 90.00 |\n| 40 | 9.50 | – |\n" in table and "A proxy" in table
    assert table in capsys.readouterr().out and (folder / "proxy.svg").stat().st_size > 1000


def test_every_student_runs_with_the_same_options(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from downstream_runs.launch import batch

    asked: list[Any] = []

    def run(rows: Any, rerun: str, launch: Any) -> list[Any]:
        asked.extend(rows)
        return [(row, "" if number else "it failed", None) for number, row in enumerate(rows)]

    monkeypatch.setattr(batch, "run", run)
    words = ["evaluate-run", str(folder), "ks,sid", "--demo", "--seed", "1,2", "--out", str(folder / "runs")]
    assert main.main(words) == 1  # one of them failed
    told = [(Path(row.plan.ckpt).name, row.plan.task.name, row.plan.seed) for row in asked]
    names = [path.name for path in evaluate_run.students(folder).values()]
    assert told == [(name, task, seed) for name in names for task in ("ks", "sid") for seed in (1, 2)]
    assert {row.plan.upstream for row in asked} == {"armhubert_local"}
    assert main.main([*words, "--ckpt", "other.ckpt"]) == 2


def test_a_task_of_ones_own_is_refused_before_anything_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_corpus.in_folders(folder / "tones")
    table = str(folder / "tones" / "flat" / "tones.csv")
    words = ["evaluate-run", str(folder), "classification", "--table", table, "--out", str(folder / "runs")]
    assert main.main(words) == 2
    assert "classification is none of them: name one or more of these" in capsys.readouterr().err
    assert not (folder / "runs").exists()
