"""What runs are called, and in what they differ: in the plan, the result, `status` and the tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downstream_runs import engine
from downstream_runs.cli import main as cli
from downstream_runs.cli import plans
from downstream_runs.cli.run import run_parser
from downstream_runs.core import results
from downstream_runs.launch import grid, sweep
from downstream_runs.runs import status
from reports import ours
from reports.__main__ import main as reports

Command = Callable[..., list[str]]


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def folders(out: Path) -> list[Path]:
    return sorted(path.parent for path in out.rglob("plan.json"))


def test_a_name_is_in_plan_result_and_tables_and_decides_nothing(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command("fbank", "asr")) == 0
    assert "HuBERT" not in capsys.readouterr().out, "published rows are for those who ask"
    assert cli.main(command("fbank", "asr", "--published")) == 0
    assert "| HuBERT BASE | 94.70 |" in capsys.readouterr().out
    out = tmp_path / "out"
    [folder] = folders(out)
    plan, result = read(folder / "plan.json"), read(folder / "result.json")
    assert "name" not in plan and "name" not in result
    capsys.readouterr()
    assert cli.main(["status", "--out", str(out)]) == 0
    assert capsys.readouterr().out.split()[:3] == ["upstream", "task", "run"]

    assert cli.main(command("fbank", "asr", "--name", "my front end")) == 0
    assert folders(out) == [folder], "the same run"
    named = results.read(folder / "result.json")
    assert named.name == "my front end"
    assert read(folder / "plan.json") == plan | {"name": "my front end"}
    changed = read(folder / "result.json")
    assert {key for key in changed if changed[key] != result.get(key)} == {"name", "content_sha256"}

    # Without the option a name stays, and with another it goes.
    assert cli.main(command("fbank", "asr")) == 0
    assert results.read(folder / "result.json") == named
    assert cli.main(command("fbank", "asr", "--name", "second")) == 0
    capsys.readouterr()
    assert cli.main(["status", "--out", str(out)]) == 0
    head, row, *_ = capsys.readouterr().out.splitlines()
    assert (head.split()[0], row.split()[0]) == ("name", "second")
    assert reports(["table", str(out)]) == 0
    assert "| second: fbank [demo, shortened] |" in capsys.readouterr().out
    assert cli.main(["verify", str(folder)]) == 0
    assert cli.main(command("fbank", "asr", "--name", "x" * 61)) == 2
    assert "--name has 61 characters, expected at most 60" in capsys.readouterr().err


def test_the_name_of_a_sweep(command: Command) -> None:
    def named(name: str) -> grid.Row:
        words = command("fbank", "asr", "--lr", "1e-2,1e-3", "--name", name)
        [row] = plans.rows_of(run_parser().parse(words))
        for plan in row.members():
            engine.run(plan)
        assert sweep.finish(row).name == name
        return row

    folder = named("tried").folder()
    members = {path: path.read_bytes() for path in folder.glob("rates/*/result.json")}
    named("again")
    assert members == {path: path.read_bytes() for path in members}, "sweep.json has their hashes"
    assert cli.main(["verify", str(folder)]) == 0


def test_what_differs_is_shown_and_nothing_else(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for more in (["--lr", "0.01"], ["--lr", "0.02"], ["--lr", "0.02", "--seed", "5"]):
        assert cli.main(command("fbank", "asr", *more)) == 0
    runs = status.told_apart(list(status.find(out)))
    assert sorted(run.differs for run in runs) == [
        "seed 1337, lr 0.01",
        "seed 1337, lr 0.02",
        "seed 5, lr 0.02",
    ]
    names = [system.name for system in ours.gather([out]).systems]
    assert names == [
        "fbank [demo, shortened], seed 1337, lr 0.01",
        "fbank [demo, shortened], seed 1337, lr 0.02",
        "fbank [demo, shortened], seed 5, lr 0.02",
    ]
    grouped = ours.seeds(ours.gather([out]).systems)
    assert [[one.name for one in group] for group in grouped] == [names[1:]], "no mean over two rates"
    capsys.readouterr()
    assert cli.main(["status", "--out", str(out), "--html", str(tmp_path / "page")]) == 0
    page = (tmp_path / "page").read_text()
    assert (
        "<th>differs</th>" in page and '<td class="state">done</td>' in page and "<th>name</th>" not in page
    )
