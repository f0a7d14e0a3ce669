"""Training on a pretend accelerator: going on from its checkpoints, and numbers that are read late."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import noise
import pytest
import rehearsal
import rehearsed_runs
import short_runs
import torch
import toy
from rehearsed_runs import ours

from downstream_runs.core.records import Journal
from downstream_runs.core.run import RunPlan
from downstream_runs.engine import run, run_dir, train
from downstream_runs.engine.late import LateNumbers
from downstream_runs.engine.optimization import Optimization
from upstream_arm.common.errors import Diverged, RunFailed

RUNNER = {"total_steps": 4, "eval_step": 4, "save_step": 2, "log_step": 4, "gradient_accumulate_steps": 1}

GRADIENTS = [(0.5, 0.1), (30.0, -40.0), (math.nan, 1.0), (1e30, 1e30), (math.inf, 1.0)]
"""Of two weights: usual, to be clipped, not a number, with a norm that is too large, and infinite."""


@pytest.fixture(scope="module", autouse=True)
def _upstreams() -> None:
    toy.register()


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise.make_corpus(tmp_path_factory.mktemp("noise"))


def plan(speech: Path, out: Path, fused: bool = True, **runner: int) -> RunPlan:
    """ASR's head, with SpecAugment, a schedule and dropout."""
    config = noise.tiny_config(**{**RUNNER, **runner})
    if fused:
        config["optimizer"]["fused"] = True  # as it is on a device
    return noise.tiny_plan(speech, out, upstream="toy", config=config)


def events(wanted: RunPlan, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run_dir(wanted) / "events.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


def interrupted(wanted: RunPlan, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a run, and stop it before its step of that number."""
    update = train.Trainer.update

    def stopping(trainer: Any) -> None:
        if trainer.step + 1 == step:
            raise KeyboardInterrupt
        update(trainer)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train.Trainer, "update", stopping)
        run(wanted)


def test_a_run_goes_on_from_a_checkpoint_of_the_device(
    speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = short_runs.outcome(plan(speech, tmp_path / "whole"))
    with rehearsed_runs.on_device():
        interrupted(plan(speech, tmp_path / "device"), 4, monkeypatch)
        on_device = short_runs.outcome(plan(speech, tmp_path / "device"))
        interrupted(plan(speech, tmp_path / "cpu", fused=False), 4, monkeypatch)
    assert not short_runs.differences(on_device, whole)
    # On the CPU it goes on as the CPU does, whatever the checkpoint says of the optimizer's kernels.
    resumed = plan(speech, tmp_path / "cpu", fused=False)
    weights = short_runs.outcome(resumed).weights
    said = run(resumed).deviations
    assert f"begun on {rehearsal.NAME} and continued on cpu" in said
    assert all(torch.allclose(one, whole.weights[key], atol=1e-5) for key, one in weights.items())
    path = run_dir(resumed) / "checkpoints" / "step-00000004.pt"
    state = torch.load(path, map_location="cpu", weights_only=True)["optimizer"]
    assert not state["param_groups"][0]["fused"]


def test_steps_without_a_gradient_are_left_out_and_counted_without_a_wait(
    speech: Path, tmp_path: Path
) -> None:
    undo = toy.spoil({1: math.nan, 3: math.nan})
    expected = short_runs.outcome(plan(speech, tmp_path / "cpu"))
    undo()
    undo = toy.spoil({1: math.nan, 3: math.nan})
    wanted = plan(speech, tmp_path / "device")
    with rehearsed_runs.on_device() as costs:
        found = short_runs.outcome(wanted)
    undo()
    assert not short_runs.differences(found, expected)
    assert ["skipped_steps", "train", 50.0, {"skipped": 2, "steps": 4}] in found.numbers
    assert [line["step"] for line in events(wanted, "step_skipped")] == [1, 3]
    assert not any(ours(counts.waits) or ours(counts.copies_out) for counts in costs.steps)


def test_a_loss_that_is_not_finite_is_told_at_the_next_log_with_its_step(
    speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3prl.downstream.asr.expert as asr

    real, losses = asr.DownstreamExpert.forward, []

    def forward(*given: Any, **named: Any) -> Any:
        losses.append(real(*given, **named))
        return losses[-1] * math.inf if len(losses) == 2 else losses[-1]

    monkeypatch.setattr(asr.DownstreamExpert, "forward", forward)
    wanted = plan(speech, tmp_path, save_step=4)
    with (
        rehearsed_runs.on_device() as costs,
        pytest.raises(Diverged, match=r"inf at step 2 \(utterances 1-9-"),
    ):
        run(wanted)
    assert len(costs.steps) == 4 and not list((run_dir(wanted) / "checkpoints").glob("*.pt"))
    assert [line["step"] for line in events(wanted, "not_finite")] == [2]


@pytest.mark.parametrize("split", ["train", "dev-clean"])
def test_features_that_are_not_finite_are_told_with_their_utterance(
    split: str, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = toy.Toy.forward

    def forward(upstream: Any, wavs: Any) -> Any:
        found = real(upstream, wavs)
        for row, wav in enumerate(wavs):
            if len(wav) == 8000 + 160 * 2 and ((len(wavs) > 1) == (split == "train")):
                found["hidden_states"][0][row, 3, 3] = math.nan
        return found

    monkeypatch.setattr(toy.Toy, "forward", forward)
    number = 1 if split == "train" else 2
    with (
        rehearsed_runs.on_device(),
        pytest.raises(RunFailed, match=rf"features of {number}-9-0002 in {split} are not finite"),
    ):
        run(plan(speech, tmp_path))


@pytest.mark.parametrize(
    "gradients", [(0.5, 0.1), (30.0, -40.0), (math.nan, 1.0), (1e30, 1e30), (math.inf, 1.0)]
)
@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_a_step_on_the_device_is_the_cpus_or_stops_the_run(
    name: str, gradients: tuple[float, float], tmp_path: Path
) -> None:
    config = {
        "runner": {"total_steps": 40, "gradient_clipping": 1.0},
        "optimizer": {"name": "TorchOptim", "torch_optim_name": name, "lr": 0.1},
    }

    def trained(device: Any) -> tuple[list[torch.Tensor], bool]:
        torch.manual_seed(0)
        modules = [torch.nn.Linear(1, 1, bias=False).to(device) for _ in gradients]
        updates, numbers, stopped = Optimization(modules, config, scaled=False), LateNumbers(), False
        for spoiled in (False, True, False):
            for module, value in zip(modules, gradients if spoiled else (1.0, -2.0), strict=True):
                module.weight.grad = torch.full_like(module.weight, value)
            try:
                updates.step(Journal(tmp_path, ()), numbers, 1, ["a"])
                numbers.read()
            except Diverged:
                stopped = True
                break
        return [rehearsal.on_host(module.weight).detach() for module in modules], stopped

    expected = trained("cpu")
    with rehearsal.counting():
        found = trained(rehearsal.DEVICE)
    assert found[1] == expected[1] == (math.inf in gradients)
    assert all(
        torch.allclose(one, other, rtol=1e-6) for one, other in zip(found[0], expected[0], strict=True)
    )
