"""The measurement of memory over a training tells one that grows from one that does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import memory

from downstream_runs import tasks
from downstream_runs.cli import overrides
from downstream_runs.core.settings import override


@pytest.mark.parametrize(("grown", "code"), [(10.0, 0), (40.0, 1)])
def test_growth_of_the_second_half_fails(
    grown: float,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Half of it in the second half.
    curve = {step: 800 + grown * step / 2000 for step in range(100, 2001, 100)}
    monkeypatch.setattr(memory, "train", lambda task, steps, place: curve)
    monkeypatch.setattr(memory, "sizes", lambda task, steps, place: "3 kB")
    assert memory.main(["--place", str(tmp_path), "--steps", "2000", "ks,ic"]) == code
    assert f"{grown / 2:+.1f} MB" in capsys.readouterr().out
    assert (tmp_path / "memory.svg").stat().st_size > 1000
    lines = (tmp_path / "memory.csv").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["task,step,mb", f"ks,100,{800 + grown / 20}"] and len(lines) == 41


def test_short_steps_are_settings_of_the_recipes() -> None:
    for task, settings in memory.SMALL.items():
        config = tasks.get(task).recipes["superb"].copy_config()
        for key, value in overrides.read(settings, {}).items():
            override(config, key, value)


@pytest.mark.slow
def test_memory_is_read_while_a_task_trains(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    curve = memory.train("ks", 200, tmp_path)
    assert list(curve) == [100, 200] and all(100 < size < 4000 for size in curve.values())
    assert " in 200,000 steps" in memory.sizes("ks", 200, tmp_path)
