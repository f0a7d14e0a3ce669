"""The published rows travel with the package and are those of the paper, the leaderboard and the profile."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from reports import published
from reports.columns import COLUMNS


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("copy", "original", "source"),
    [
        ("table1.csv", "paper/table1.csv", "arXiv 2305.11685 Table 1"),
        ("table2.csv", "paper/table2.csv", "arXiv 2305.11685 Table 2"),
        ("table3.csv", "paper/table3.csv", "arXiv 2305.11685 Table 3"),
        ("table4.csv", "paper/table4.csv", "arXiv 2305.11685 Table 4"),
        ("board_displayed.csv", "leaderboard/superb_board_displayed.csv", "SUPERB leaderboard"),
        ("board_2022-04.csv", "leaderboard/superb_public_2022-04.csv", "SUPERB leaderboard"),
        ("reference_points.csv", "leaderboard/superb_s_reference_points.csv", None),
        ("systems.csv", "published/rows.csv", None),
    ],
)
def test_the_values_are_the_checked_copies(
    shared_dir: Path, copy: str, original: str, source: str | None
) -> None:
    found = read(published.FOLDER / copy)
    if source is not None:
        assert all(row.pop("source").startswith(source) for row in found)
    assert found == read(shared_dir / original)


def test_every_row_of_table_1_has_every_column() -> None:
    rows = published.table(1)
    assert len(rows) == 17 == len({row.name for row in rows})
    assert all(row.values.keys() == {column.key for column in COLUMNS} for row in rows)


def test_every_system_has_a_source_and_a_name_of_its_own() -> None:
    systems = published.rows("systems")
    assert len({system.name for system in systems}) == len(systems) == 20
    assert all(system.source for system in systems)


def test_the_profile_is_what_the_profile_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    from upstream_arm.cli import main

    names = list(published.profiles())
    assert {"armhubert", "table2_2by6", "hubert_base"} <= set(names)
    assert main(["profile", *names, "--json"]) == 0
    for document in json.loads(capsys.readouterr().out):
        profile = published.profiles()[document["name"]]
        assert (profile.params, profile.macs) == (document["params"], document["macs"])
