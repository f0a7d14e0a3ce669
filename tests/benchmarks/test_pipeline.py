"""The arithmetic of benchmarks/pipeline.py, its corpora for the scaling table, and steps done on order."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import _cases
import _scaling
import _sides
import pipeline

from downstream_runs import tasks
from upstream_arm.common.errors import RunFailed


def measured(task: str, **seconds: tuple[float, ...]) -> _cases.Measured:
    return _cases.Measured(
        task=task,
        batch=32,
        audio=1.0,
        seconds=seconds,
        upstream_share=0.9,
        filled=(10.0, 100.0),
        again=0.0,
        store_bytes=10**6,
        peaks=dict.fromkeys(seconds, 10**9),
    )


def test_ratios_are_medians_of_the_rounds() -> None:
    found = measured("ks", stock=(10.0, 20.0, 90.0), off=(10.0,) * 3, stored=(1.0, 1.0, 1.0))
    assert found.ratio("stock", "stored") == 20.0
    assert found.median("stock") == 20.0
    assert ">= 50x: NOT met" in pipeline.row(tasks.get("ks"), found)


def test_the_full_recipe_scales_the_upstream_by_length_and_a_pooled_head_by_nothing() -> None:
    found = measured("ic", stock=(2.0,), off=(2.0,), stored=(0.01,))
    longer = 14.7 * 3600 / 23_132
    stock, stored = pipeline.full_hours(tasks.get("ic"), found)
    assert stock == pytest.approx(200_000 * 2.0 * (0.9 * longer + 0.1) / 3600)
    assert stored == pytest.approx(200_000 * 0.01 / 3600 + 0.1 * 19.0)


@pytest.mark.parametrize(("over", "said"), [(1.1, "floor: met"), (1.2, "floor: NOT met")])
def test_the_floor_decides_asr(over: float, said: str) -> None:
    assert said in pipeline.verdict("asr", 2.0, over)


def test_longer_and_more_audio(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("espeakng_loader")
    task = tasks.get("ic")
    found = {}
    for longer, more in ((1, 1), (3, 2)):
        data = _scaling.scaled(task, tmp_path / "demo", tmp_path / f"{longer}", longer, more)
        root = data / "fluent_speech_commands_dataset"
        with (root / "data/train_data.csv").open() as file:
            paths = [root / row["path"] for row in csv.DictReader(file)]
        found[longer] = len(paths), sum(soundfile.info(path).frames for path in paths)
        prepared = task.corpus.prepare(data, tmp_path / "cache", task.recipes["superb"].config)
        assert prepared.labels == ("demo",)
        assert prepared.utterances["train"] == len(paths)
    assert found[3] == (2 * found[1][0], 6 * found[1][1])


@pytest.mark.slow
def test_both_sides_do_steps_on_order_and_say_what_the_upstream_took(tmp_path: Path) -> None:
    pytest.importorskip("s3prl")
    pytest.importorskip("espeakng_loader")
    task = tasks.get("ks")
    setting = _cases.Setting(
        "fbank", task.corpus.make_demo(tmp_path / "data").parent, tmp_path, "cpu", 1, 1, 1
    )
    sides = {"stock": _cases.stock(setting, task), "ours": _cases.ours(setting, task, "off")}
    for name, arguments in sides.items():
        with _sides.Side(name, "fbank", arguments, tmp_path / f"{name}.log", 1) as side:
            side.do(1)
            reply = side.do(2)
        assert len(reply.steps) == 2
        assert reply.upstream["utterances"] == 64
        assert 0 < reply.upstream["seconds"] < sum(reply.steps)


def test_a_side_that_fails_says_why(tmp_path: Path) -> None:
    with (
        _sides.Side("ours", "fbank", ["fbank", "nothing"], tmp_path / "log", 1) as side,
        pytest.raises(RunFailed, match="no task 'nothing'"),
    ):
        side.do(1)
