"""Runs that a command starts in processes of their own give what each gives when it is started alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import starting

pytest.importorskip("espeakng_loader")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    before = os.sched_getaffinity
    folder = tmp_path_factory.mktemp("starting")
    starting.prepare(folder)
    yield folder
    os.sched_getaffinity = before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("upstream", "store", "names"),
    [
        ("fbank", "off", ["two seeds, --jobs 2", "--devices 2"]),
        ("student", "disk", ["two rates", "two seeds"]),
    ],
)
def test_started_together_as_alone(upstream: str, store: str, names: list[str], place: Path) -> None:
    words = starting.prepare(place)[upstream]
    ways = [way for way in (*starting.WAYS, starting.DEVICES) if way.name in names]
    alone = [*starting.ALONE[:4], *(way for way in ways if way is starting.DEVICES)]
    reference: dict[str, Any] = {}
    table = list(starting.rows(starting.Case(upstream, words, store, 0), alone, place, reference))
    table += starting.rows(starting.Case(upstream, words, store, 2), ways, place, reference)
    assert len(table) == len(alone) - 3 + len(ways)
    assert all(row.endswith("| yes |") for row in table), table
