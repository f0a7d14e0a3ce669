"""Results that were pulled from others are marked as theirs wherever they stand, and never as ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from downstream_runs.core import results
from downstream_runs.core.results import Metric, Result
from reports import build, figures, ours
from reports.columns import COLUMNS
from reports.tables import mine, overview, paper

MARK = "theirs: Bob"


@pytest.fixture()
def place(tmp_path: Path, make: Callable[..., Result], metric: Callable[..., Metric]) -> Path:
    """All ten tasks twice, without labels: a row of ours, and the same numbers of Bob's."""
    for owner in ("mine", "theirs"):
        for task in dict.fromkeys(column.task for column in COLUMNS):
            numbers = tuple(
                metric(
                    name=column.metric,
                    value=80.0 if column.unit == "percent" else 0.8,
                    unit=column.unit,
                    direction=column.better,
                    counts={"errors": 80, "length": 100},
                )
                for column in COLUMNS
                if column.task == task
            )
            folder = tmp_path / owner / task
            result = make(upstream="hubert_base", task=task, labels=(), metrics=numbers, artefacts={})
            results.write(folder / "result.json", result)
            if owner == "theirs":
                (folder / "bundle.json").write_text(json.dumps({"by": "Bob"}))
    return tmp_path


def test_the_same_model_of_two_people_is_two_rows(place: Path) -> None:
    systems = ours.gather([place]).systems
    assert [(one.name, one.by, one.source) for one in systems] == [
        ("hubert_base", "", "ours"),
        (f"hubert_base [{MARK}]", "Bob", "theirs"),
    ]


def test_every_table_marks_them_and_keeps_them_out_of_our_blocks(place: Path) -> None:
    systems = ours.gather([place]).systems
    tables = [
        mine.table(systems),
        *paper.tables(systems),
        overview.systems(systems, {}),
        overview.runs(systems, {}),
    ]
    assert tables[0] is not None
    assert (tables[0].title, tables[0].heads[0].text) == ("Our results, and theirs", "Ours, and theirs")
    seen = 0
    for table in filter(None, tables):
        for block in table.blocks:
            of_bob = ["Bob" in row[0].text for row in block.rows]
            assert all(of_bob) == any(of_bob), block.title
            assert any(of_bob) == block.title.startswith("Theirs"), block.title
            seen += any(of_bob)
    assert seen >= 5
    assert not [pair for pair in mine.differences(systems, [], 4) if pair.system.by]


def test_every_figure_marks_them(place: Path) -> None:
    marked = 0
    for picture in figures.draw(ours.gather([place]).systems, {}, 4):
        # Letters are drawn as shapes, with the text beside them as a comment.
        texts = [text.decode() for text in re.findall(rb"<!--(.*?)-->", picture.svg)]
        if any("hubert_base" in text for text in texts):
            marked += 1
            assert any("heirs" in text for text in texts), picture.key
    assert marked >= 2


def test_a_report_counts_them_apart(place: Path, tmp_path: Path) -> None:
    paths, collection = build.write([place], tmp_path / "report", whole=False)
    said = build.summary(paths, collection, tmp_path / "report")
    assert "10 results of ours in 1 row\n" in said and "10 results of theirs in 1 row\n" in said


def test_a_report_of_mine_alone_has_none(place: Path, tmp_path: Path) -> None:
    _, collection = build.write([place], tmp_path / "report", whole=True, only=[build.MINE])
    assert [system.by for system in collection.systems] == [""]
    assert "Bob" not in (tmp_path / "report" / "report.md").read_text()


def test_a_damaged_manifest_makes_nothing_ours(place: Path) -> None:
    for path in place.glob("theirs/*/bundle.json"):
        path.write_text("{")
    assert [one.by for one in ours.gather([place]).systems] == ["", "unknown"]
