"""What upstreams cost, beside their scores: where it was measured, and never two machines in one column."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downstream_runs.core.efficiency import Efficiency
from downstream_runs.core.results import Result
from reports import ours
from reports.__main__ import main
from reports.systems import System
from reports.table import Table
from reports.tables import overview, paper

Make = Callable[..., Result]
HERE, THERE = "AMD EPYC, 2 threads of 2 cores", "NVIDIA A100"


@pytest.fixture
def rows(make: Make) -> list[System]:
    def measured(rtf: float, machine: str, macs: int | None = 480_000_000_000) -> Efficiency:
        return Efficiency(26_451_234, macs, rtf, 250_000_000, machine)

    made = [
        make(upstream="a", efficiency=measured(0.09, HERE), created="2025-01-02T03:04:05+00:00"),
        make(upstream="a", task="ks", efficiency=measured(0.08, HERE), created="2025-01-02T03:04:06+00:00"),
        make(upstream="a", task="er", efficiency=measured(0.004, THERE), created="2025-01-02T03:04:04+00:00"),
        make(upstream="b", efficiency=measured(0.002, THERE, None)),
        make(upstream="c"),
    ]
    return ours.systems([(Path(f"{number}.json"), result) for number, result in enumerate(made)])


def costs(table: Table, name: str) -> list[str]:
    (row,) = [row for block in table.blocks for row in block.rows if row[0].text.startswith(name)]
    at = next(place for place, head in enumerate(table.heads) if head.text == "MACs (G)")
    return [cell.text for cell in row[at : at + 5]]


def test_each_machine_has_columns_of_its_own(rows: list[System]) -> None:
    table = paper.table1(rows, costs=True)
    heads = [head.text for head in table.heads if HERE in head.text or THERE in head.text]
    pair = ("Real-time factor", "Peak memory in MB")
    assert heads == [f"{text} ({machine})" for machine in (HERE, THERE) for text in pair]
    # Of two measurements on one machine the last one counts.
    assert costs(table, "a [") == ["480.0", "0.0800", "250.0", "0.0040", "250.0"]
    assert costs(table, "b [") == ["–", "–", "–", "0.0020", "250.0"]
    assert costs(table, "c [") == ["–"] * 5
    assert costs(table, "HuBERT BASE") == ["–"] * 5
    assert any("numbers of different machines do not compare" in note for note in table.notes)
    assert any("1 of our rows were not measured" in note for note in table.notes)


def test_nothing_of_it_is_there_unless_it_is_asked_for(rows: list[System]) -> None:
    table = paper.table1(rows)
    assert not any("Real-time" in head.text or "MACs" in head.text for head in table.heads)
    assert not any("real-time" in note.lower() for note in table.notes)
    assert "rtf" not in paper.as_csv(rows, ())


def test_published_macs_stand_beside_ours() -> None:
    table = overview.systems((), {}, costs=True)
    assert next(row[2].text for row in table.blocks[0].rows if row[0].text == "HuBERT BASE") == "1669"


def test_each_line_for_programs_names_its_machine(rows: list[System]) -> None:
    lines = list(csv.DictReader(io.StringIO(paper.as_csv(rows, (), costs=True))))
    found = {line["model"][0]: line for line in lines if line["source"] == "ours"}
    keys = ("macs_g", "rtf", "peak_memory_mb", "machine")
    assert [found["a"][key] for key in keys] == ["480.0", "0.004", "250.0", THERE]
    assert [found["b"][key] for key in keys] == ["", "0.002", "250.0", THERE]
    assert [found["c"][key] for key in keys] == [""] * 4


@pytest.mark.parametrize("command", [["table"], ["table", "--format", "csv"], ["build"], ["paper"]])
def test_every_command_can_show_it(
    command: list[str], make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from downstream_runs.core import results

    one = Efficiency(26_451_234, 480_000_000_000, 0.0777, 250_000_000, HERE)
    results.write(tmp_path / "result.json", make(efficiency=one))
    said: dict[bool, str] = {}
    for asked in (False, True):
        to = tmp_path / str(asked)
        options: list[Any] = [] if command[0] == "table" else ["--to", to]
        assert main([*command, str(tmp_path), *map(str, options), *(["--efficiency"] * asked)]) == 0
        files = (path.read_text(encoding="utf-8") for path in to.rglob("table1.md"))
        said[asked] = capsys.readouterr().out + "".join(files)
    assert "0.0777" in said[True] and "0.0777" not in said[False]
