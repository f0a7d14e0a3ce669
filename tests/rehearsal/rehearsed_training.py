"""Whole runs on a pretend accelerator: the CPU's numbers, and what a training step costs there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import noise
import pytest
import rehearsal
import torch
import toy

from downstream_runs import tasks
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.core.run import RunPlan
from downstream_runs.engine import components, run, run_dir, train
from downstream_runs.engine.checkpoints import read_tensors

OURS = ("downstream_runs/", "upstream_arm/")
"""How lines of ours begin, as the counts name them; s3prl's heads wait and copy more."""

EXTRACTOR = "features/extractor.py"
"""What alone may make tensors on the host and copy them: waveforms and stored features."""

WAITS = 3
"""The engine's own in a step, each one number: the loss, whether features are finite, the gradient's norm."""


@pytest.fixture(scope="module", autouse=True)
def _upstreams() -> None:
    toy.register()


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise.make_corpus(tmp_path_factory.mktemp("noise"))


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("commands")
    tasks.get("ks").corpus.make_demo(folder)
    return folder


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[rehearsal.Counts]]:
    """Put runs on the pretend device; what each training step costs, from its batch to its new weights."""
    found: list[rehearsal.Counts] = []
    passes, update = train.Trainer.backward, train.Trainer.update

    def backward(trainer: Any, *batch: Any) -> float:
        with rehearsal.counting() as counts:
            loss = passes(trainer, *batch)
        found.append(counts)
        return loss

    def updated(trainer: Any) -> None:
        with rehearsal.counting() as counts:
            update(trainer)
        found[-1].add(counts)

    monkeypatch.setattr(components, "pick_device", lambda name: rehearsal.DEVICE)
    monkeypatch.setattr(train.Trainer, "backward", backward)
    monkeypatch.setattr(train.Trainer, "update", updated)
    with rehearsal.counting():
        yield found


def asr(speech: Path, out: Path) -> RunPlan:
    runner = {"total_steps": 2, "eval_step": 2, "save_step": 1, "gradient_accumulate_steps": 1, "log_step": 2}
    return noise.tiny_plan(speech, out, upstream="toy", runner=runner)


def ks(commands: Path, out: Path) -> RunPlan:
    changes = {"runner.total_steps": 4, "runner.eval_step": 4, "runner.save_step": 4, "runner.log_step": 2}
    task = tasks.get("ks")
    stored = FeatureOptions(mode="memory")
    return RunPlan(task, "demo", "toy", commands, out, device="cpu", overrides=changes, features=stored)


def outcome(plan: RunPlan, artefact: str) -> tuple[list[Any], dict[str, Any]]:
    """Every number that the run's journal has, and the selected weights."""
    run(plan)
    lines = [json.loads(line) for line in (run_dir(plan) / "metrics.jsonl").read_text().splitlines()]
    numbers = [[line["split"], line["step"], line["scalars"], line.get("layer_weights")] for line in lines]
    states = read_tensors(run_dir(plan) / artefact)
    flat = {
        f"{part} {key}": one for part in ("Featurizer", "Downstream") for key, one in states[part].items()
    }
    return numbers, flat


@pytest.mark.parametrize(("name", "artefact"), [("asr", "dev-clean-best.ckpt"), ("ks", "dev-best.ckpt")])
def test_a_run_has_the_cpus_numbers(
    name: str, artefact: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    make, corpus = (asr, "speech") if name == "asr" else (ks, "commands")
    data = request.getfixturevalue(corpus)
    numbers, weights = outcome(make(data, tmp_path / "cpu"), artefact)
    found: list[rehearsal.Counts] = request.getfixturevalue("steps")
    rehearsed, others = outcome(make(data, tmp_path / "rehearsed"), artefact)
    assert rehearsed == numbers
    assert weights.keys() == others.keys()
    assert all(torch.equal(one, others[key]) for key, one in weights.items())
    assert len(found) == (2 if name == "asr" else 4)
    for counts in found:
        ours = {line: count for line, count in counts.waits.items() if line.startswith(OURS)}
        assert sum(ours.values()) <= WAITS, ours
        copied = [line for line in counts.copies_in if line.startswith(OURS) and EXTRACTOR not in line]
        assert not copied
