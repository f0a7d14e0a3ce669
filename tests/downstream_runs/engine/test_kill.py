"""A run that is killed again and again ends with the numbers and weights of an undisturbed one."""

from __future__ import annotations

import json
from pathlib import Path

import noise
import pytest
import scripts
import toy
from alike import same

from downstream_runs.core import results
from downstream_runs.engine import run, run_dir


@pytest.mark.slow
def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    import torch

    corpus = noise.make_corpus(tmp_path)
    scripts.run("kills.py", corpus, tmp_path / "killed", cwd=tmp_path)

    toy.register()
    torch.set_num_threads(1)
    plan = noise.tiny_plan(corpus, tmp_path / "calm", upstream="toy", runner=noise.KILL_STEPS)
    calm = run(plan)
    calm_dir = run_dir(plan)
    for name in ("chosen", "random"):
        check_equal(tmp_path / "killed" / name / calm_dir.relative_to(plan.out), calm_dir, calm)
    chosen = tmp_path / "killed" / "chosen" / calm_dir.relative_to(plan.out)
    events = [json.loads(line)["event"] for line in (chosen / "events.jsonl").read_text().splitlines()]
    assert events.count("resume") >= 5


def check_equal(killed_dir: Path, calm_dir: Path, calm: results.Result) -> None:
    import torch

    killed = results.read(killed_dir / "result.json")
    assert killed.metrics == calm.metrics
    assert killed.steps == calm.steps
    assert (killed_dir / "metrics.jsonl").read_bytes() == (calm_dir / "metrics.jsonl").read_bytes()
    for name in ("checkpoints/step-00000012.pt", "dev-clean-best.ckpt"):
        left, right = (torch.load(folder / name, weights_only=True) for folder in (killed_dir, calm_dir))
        for key in left.keys() - {"wall_seconds"}:
            assert same(left[key], right[key]), f"{name}: {key}"
    events = [json.loads(line) for line in (killed_dir / "events.jsonl").read_text().splitlines()]
    steps = [(event["event"], event["step"]) for event in events if event["event"] in ("checkpoint", "best")]
    assert len(steps) == len(set(steps))
    assert not list(killed_dir.rglob("*.tmp"))
