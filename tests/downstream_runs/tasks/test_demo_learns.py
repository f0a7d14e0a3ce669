"""The demo recipes of ASR and ASV learn: better than a head that has learnt nothing, by a stated margin."""

from __future__ import annotations

from pathlib import Path

import pytest

from downstream_runs import bridge, tasks
from downstream_runs.engine import RunPlan, run

pytestmark = pytest.mark.slow

# What the trained head must reach with FBANK, and what one that was hardly trained must stay above.
MARGINS = {"asr": ("wer", 90.0, 97.0), "asv": ("eer", 15.0, 25.0)}


@pytest.mark.parametrize("name", MARGINS)
def test_the_trained_head_beats_the_untrained(name: str, tmp_path: Path) -> None:
    bridge.apply()
    metric, reached, untrained = MARGINS[name]
    task = tasks.get(name)
    task.corpus.make_demo(tmp_path / "data")
    plan = RunPlan(task, "demo", "fbank", tmp_path / "data", tmp_path / "trained", device="cpu")
    once = {key: 1 for key in ("runner.total_steps", "runner.eval_step", "runner.save_step")}
    start = RunPlan(
        task, "demo", "fbank", tmp_path / "data", tmp_path / "start", device="cpu", overrides=once
    )
    trained, before = run(plan).headline(metric), run(start).headline(metric)
    assert trained is not None and before is not None
    assert trained.value < reached
    assert before.value > untrained
