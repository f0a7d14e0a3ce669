"""Features encoded together on the pretend accelerator: the CPU's to rounding, and what they cost there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lots
import pytest
import rehearsal
import small_student
import torch

from downstream_runs import tasks
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.core.run import RunPlan
from downstream_runs.engine import components, run, run_dir
from downstream_runs.features import batched
from downstream_runs.features.extractor import FeatureExtractor
from downstream_runs.features.items import CachedWaveform, digest

CPU = torch.device("cpu")
COUNT = 32
KERNELS = {"corpus": 12, "crops of a step": 25}
"""The most for each utterance. Those of a step include the weighted sums of each one's frames."""


def waves() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(4_000 + 131 * number) / 10 for number in range(COUNT)]


def known() -> list[CachedWaveform]:
    return [CachedWaveform(digest(wav), len(wav), lambda wav=wav: wav) for wav in waves()]  # type: ignore[misc]


def features(found: FeatureExtractor, wavs: Any, device: torch.device) -> list[torch.Tensor]:
    return [rehearsal.on_host(one) for one in lots.features(found, wavs, device)]


def per_utterance(counts: rehearsal.Counts) -> tuple[float, ...]:
    return tuple(one / COUNT for one in counts.row())


@pytest.mark.parametrize(("kind", "precision"), [("pooled", "fp32"), ("frames", "fp32"), ("frames", "fp16")])
def test_a_step_and_a_corpus_together(kind: str, precision: str) -> None:
    expected = features(lots.source(kind, CPU, False, precision), waves(), CPU)
    within = batched.TOLERANCE if precision == "fp32" else 2**-10
    with rehearsal.counting():
        alone, crops, stored = (
            lots.source(kind, rehearsal.DEVICE, together, precision) for together in (False, True, True)
        )
        costs = {}
        with rehearsal.counting() as costs["alone"]:
            features(alone, waves(), rehearsal.DEVICE)
        with rehearsal.counting() as costs["crops of a step"]:
            found = features(crops, waves(), rehearsal.DEVICE)
        with rehearsal.counting() as costs["corpus"]:
            stored.store(known(), rehearsal.DEVICE, lambda put: put())
        again = features(stored, known(), rehearsal.DEVICE)
    for some in (found, again):
        for one, other in zip(some, expected, strict=True):
            assert one.shape == other.shape
            assert (one - other).abs().max() <= within * other.abs().max()
    for name, counts in costs.items():
        print(f"{kind} {precision} {name}: kernels, copies in and out, waits: {per_utterance(counts)}")
    ours = [line for line in costs["corpus"].copies_out if "features/" in line]
    assert len(ours) == 1 and costs["corpus"].copies_out[ours[0]] == 1
    for name, most in KERNELS.items():
        assert per_utterance(costs[name])[0] <= most
        assert not [line for line in costs[name].waits if "features/" in line]
    assert sum(costs["corpus"].copies_in.values()) <= 3, costs["corpus"].copies_in


@pytest.fixture
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("commands")
    tasks.get("ks").corpus.make_demo(folder)
    return folder


@pytest.fixture
def rehearsed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(components, "pick_device", lambda name: rehearsal.DEVICE)
    with rehearsal.counting():
        yield


def scalars(plan: RunPlan) -> list[float]:
    run(plan)
    lines = (run_dir(plan) / "metrics.jsonl").read_text().splitlines()
    return [value for line in lines for value in json.loads(line)["scalars"].values()]


def test_a_run_with_its_corpus_encoded_first(
    commands: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    small_student.register()
    changes = {"runner.total_steps": 20, "runner.eval_step": 10, "runner.save_step": 10, "runner.log_step": 5}

    def plan(out: str) -> RunPlan:
        return RunPlan(
            tasks.get("ks"),
            "demo",
            "small_student",
            commands,
            tmp_path / out,
            device="cpu",
            overrides=changes,
            features=FeatureOptions(mode="disk"),
        )

    expected = scalars(plan("cpu"))
    request.getfixturevalue("rehearsed")
    assert scalars(plan("rehearsed")) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    result = json.loads((run_dir(plan("rehearsed")) / "result.json").read_text())
    assert result["config"]["features"]["encoded_together_within"] == batched.TOLERANCE
    assert "encoded_together_within" not in (run_dir(plan("cpu")) / "result.json").read_text()
    events = [
        json.loads(line) for line in (run_dir(plan("rehearsed")) / "events.jsonl").read_text().splitlines()
    ]
    assert [line["event"] for line in events if line["event"].startswith("features")] == [
        "features_stored",
        "features",
    ]
