"""What a command says of its runs when they are done: on one screen, with all that limits the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downstream_runs.core.results import Metric, Result, read, write
from reports import screen

Make = Callable[..., Result]


def runs(data_dir: Path) -> dict[tuple[str, str], Path]:
    paths = [path for path in data_dir.glob("demo_runs/*/*/*/result.json")]
    return {(read(path).upstream, read(path).task): path for path in paths}


def test_a_run_of_each_task_fits_on_a_screen(data_dir: Path) -> None:
    found = runs(data_dir)
    assert len(found) == 20
    for (upstream, task), path in found.items():
        result, lines = read(path), screen.of_run(path).splitlines()
        assert len(lines) <= 14 and max(map(len, lines)) <= 200
        said = [
            line for line in lines if line.startswith(f"{task} of {upstream} [{', '.join(result.labels)}]: ")
        ]
        numbers = [metric for metric in result.metrics if metric.role == "headline"]
        assert len(said) == len(numbers)
        for line, metric in zip(said, numbers, strict=True):
            assert f": {metric} on {metric.split}, " in line and "interval" in line
        for label in result.labels:
            assert any(line.startswith(f"  {label}: ") for line in lines)
        assert lines[-1].startswith("took ")
        assert "HuBERT" not in "\n".join(lines), "published rows are for those who ask"


def test_what_is_said_of_some(data_dir: Path) -> None:
    found = runs(data_dir)
    # By hand from these files: the bootstrap's interval of `reports build`, and SD's number chosen on dev.
    assert "acc 34.48 on test, 95 % interval 23.43 to 100.00 by 5 speakers, rough" in screen.of_run(
        found["armhubert_random", "ks"]
    )
    sd = read(found["armhubert_random", "sd"])
    dev = next(
        one for one in sd.metrics if one.role == "information" and one.selection.startswith("the lowest")
    )
    assert f"  chosen on dev instead: {dev}" in screen.of_run(found["armhubert_random", "sd"])
    assert "95 % interval 0.0000 to 0.3159 by 7 queries" in screen.of_run(found["armhubert_random", "qbe"])


def test_several_runs_are_a_line_each(data_dir: Path) -> None:
    found = runs(data_dir)
    some = [found["armhubert_random", "ks"], found["armhubert_random", "sf"]]
    text = screen.of_runs(some)
    assert [line.split()[0] for line in text.splitlines()[:3]] == ["ks", "sf", "sf"]
    assert text.count("untrained: the upstream has random weights") == 1


@pytest.mark.parametrize(
    ("changes", "says", "never"),
    [
        ({"labels": ()}, "asr of arm_hubert_random: wer 77.78 on test-clean, no interval", "not comparable"),
        ({"name": "mine"}, "mine: asr of arm_hubert_random [demo", "protocol"),
        ({"deviations": tuple("abcde")}, "and 2 more deviations", "deviation: d"),
        ({"wall_seconds": 7200.0}, "took 2.0 h", "took 7"),
    ],
)
def test_parts(tmp_path: Path, make: Make, changes: dict[str, Any], says: str, never: str) -> None:
    write(tmp_path / "result.json", make(**changes))
    text = screen.of_run(tmp_path / "result.json")
    assert says in text and never not in text


def test_what_is_not_by_the_protocol_says_so(
    tmp_path: Path, make: Make, metric: Callable[..., Metric]
) -> None:
    write(tmp_path / "result.json", make(metrics=(metric(official=False),)))
    assert "is not that of SUPERB's protocol" in screen.of_run(tmp_path / "result.json")
