"""Every kept student of a distillation through tasks: which students, and what is shown of their scores."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import own_corpus
import pytest
import torch

from downstream_runs.cli import evaluate_run, main
from downstream_runs.cli.evaluate_run import Scores
from downstream_runs.launch import batch
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


def made(*values: tuple[int, str, float]) -> Scores:
    measures = list(dict.fromkeys(measure for _, measure, _ in values))
    return Scores({(step, measure): value for step, measure, value in values}, measures, ["demo"])


def test_score_against_step(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proxy = made((40, "sid acc ↑", 9.5), (20, "sid acc ↑", 8.0), (20, "pr per ↓", 90.0))
    evaluate_run.show(folder, proxy)
    table = (folder / "proxy.md").read_text()
    assert "| 20 | 8.00 | 90.00 |\n| 40 | 9.50 | – |\n" in table
    assert "A proxy" in table and "Labels: demo." in table
    assert table in capsys.readouterr().out and (folder / "proxy.svg").stat().st_size > 1000


def test_agreement_with_whole_runs(folder: Path) -> None:
    steps = (20, 40, 60, 75)
    proxy = made(
        *((s, "sid acc ↑", v) for s, v in zip(steps, (1.0, 2, 3, 4), strict=True)), (20, "ks acc ↑", 1.0)
    )
    full = made(*((s, "sid acc ↑", v) for s, v in zip(steps, (10.0, 30, 20, 40), strict=True)))
    evaluate_run.show(folder, proxy, full)
    text = (folder / "proxy.md").read_text()
    assert "The same students by the whole recipe (labels: demo):" in text
    assert re.search(r"- sid acc ↑: \+0\.67 \[[+-]\d\.\d\d, \+1\.00\] over 4 models", text)
    assert "- ks acc ↑: none: 0 students in both, at least 3 were expected" in text


def test_every_student_runs_with_the_same_options(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_full_runs_are_those_without_overrides(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(batch, "run", lambda rows, rerun, launch: asked.append(list(rows)) or [])
    words = ["evaluate-run", str(folder), "ks", "--demo", "--full", "--out", str(folder / "runs")]
    assert main.main(words) == 2  # nothing that makes it cheap
    assert main.main([*words, "-o", "runner.total_steps=20"]) == 0
    changed = [{tuple(row.plan.overrides) for row in rows} for rows in asked]
    assert changed == [{("runner.total_steps",)}, {()}] and len(asked[0]) == len(asked[1]) == 4


def test_a_table_of_ones_own_through_a_whole_distillation(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3prl")
    from downstream_runs import engine

    def in_this_process(rows: Any, rerun: str, launch: Any) -> list[Any]:
        return [(row, "" if engine.run(row.plan) else "none", None) for row in rows]

    monkeypatch.setattr(batch, "run", in_this_process)
    for step in (40, 60):
        (folder / f"student-{step:08d}.safetensors").unlink()
    table = own_corpus.make(folder / "tones")
    words = ["evaluate-run", str(folder), "classification", "--table", str(table), "--recipe", "small"]
    short = ["--device", "cpu", "-o", "runner.total_steps=4", "-o", "runner.eval_step=2"]
    assert main.main([*words, "--out", str(folder / "runs"), *short]) == 0
    lines = (folder / "proxy.md").read_text().splitlines()
    assert lines[0] == "| step | tones acc ↑ |"
    assert [line.split()[1] for line in lines[2:4]] == ["20", "75"]
    assert "own-corpus" in lines[-1]
