"""Our loop is s3prl's: the same seed gives the same losses and weights as s3prl's own Runner, bit for bit."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import noise
import pytest
import toy

from downstream_runs.core.run import resolve_config
from downstream_runs.engine import distributed, run, run_dir

CHECKOUT = Path(__file__).parents[3]
SUPPORT = CHECKOUT / "tests" / "support"
STEPS = 10


# Batches of two steps give no gradient; that of a third is finite, and its norm is not.
SPOILED = {5: math.nan, 6: math.nan, 10: math.nan, 13: 1e30}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "eval_step", "spoiled", "states", "layer"),
    [
        (1, 5, {}, "hidden_states", None),
        (2, 5, {}, "hidden_states", None),
        (1, 4, {}, "hidden_states", None),
        (1, 4, SPOILED, "hidden_states", None),
        (1, 5, {}, "hidden_states", 1),
        (1, 5, {}, "last_hidden_state", None),
    ],
)
def test_training_is_that_of_stock_s3prl(
    devices: int,
    eval_step: int,
    spoiled: dict[int, float],
    states: str,
    layer: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    toy.register()
    # A fork knows the toy upstream.
    monkeypatch.setattr(distributed, "START_METHOD", "fork")
    corpus = noise.make_corpus(tmp_path)
    plan = noise.tiny_plan(
        corpus,
        tmp_path / "runs",
        upstream="toy",
        runner={"total_steps": STEPS, "eval_step": eval_step},
        devices=devices,
        states=states,
        layer=layer,
    )
    undo = toy.spoil(spoiled)
    result = run(plan)
    undo()
    ours = run_dir(plan)

    config = resolve_config(plan)
    data = plan.task.corpus.prepare(plan.data, plan.out / "cache", config)
    (tmp_path / "stock").mkdir()
    (tmp_path / "config.json").write_text(json.dumps(data.added_to(config)))
    subprocess.run(
        [
            sys.executable,
            str(SUPPORT / "stock.py"),
            str(tmp_path / "config.json"),
            str(tmp_path / "stock"),
            str(devices),
            json.dumps(spoiled),
            json.dumps({"upstream_feature_selection": states, "upstream_layer_selection": layer}),
        ],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(SUPPORT)])},
        capture_output=True,
        timeout=300,
    )

    theirs = json.loads((tmp_path / "stock" / "scalars.json").read_text())
    lines = [json.loads(line) for line in (ours / "metrics.jsonl").read_text().splitlines()]
    mine = [(name, value, line["step"]) for line in lines for name, value in line["scalars"].items()]
    assert [tuple(line) for line in theirs] == mine
    assert len({step for name, _, step in mine if name == "asr/train-loss"}) == STEPS
    evaluations = set(range(eval_step, STEPS + 1, eval_step))
    assert {step for name, _, step in mine if name == "asr/dev-clean-wer"} == evaluations

    stock = torch.load(tmp_path / "stock" / "end.pt", weights_only=True)
    state = torch.load(ours / "checkpoints" / f"step-{STEPS:08d}.pt", weights_only=True)
    for part in ("Featurizer", "Downstream"):
        assert stock[part].keys() == state["trained"][part].keys()
        for name, tensor in stock[part].items():
            assert torch.equal(tensor, state["trained"][part][name]), name
    summed = (states, layer) == ("hidden_states", None)
    assert ("weights" in stock["Featurizer"]) == summed
    assert not summed or stock["Featurizer"]["weights"].abs().sum() > 0
    assert result.labels == ("demo", "shortened", "untrained")
    counts = [metric.counts for metric in result.metrics if metric.name == "skipped_steps"]
    assert counts == ([{"skipped": 2, "steps": STEPS}] if spoiled else [])
    assert not any("skip" in sentence or "evaluat" in sentence for sentence in result.deviations)
