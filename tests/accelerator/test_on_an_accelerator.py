"""What the pretend device of tests/rehearsal promises, on a real accelerator; skipped where there is none.

SUPERB_TEST_DEVICE names another device than torch's own choice. With `cpu`, as after every change of this
file, the CPU is held against itself: that shows that the tests run, and nothing of a device.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import lots
import noise
import numpy as np
import peer_files
import pytest
import short_runs
import small_student
import sources
import tiny_distillation
import torch
import toy
from torch import Tensor

from downstream_runs import tasks
from downstream_runs.core import settings
from downstream_runs.core.run import RunPlan
from downstream_runs.engine import run, train
from downstream_runs.features import batched
from downstream_runs.upstreams import card
from downstream_runs.upstreams.checked import CheckedUpstream
from upstream_arm.common import devices
from upstream_arm.distillation import training
from upstream_arm.distillation.settings import Settings
from upstream_arm.peers.loading import load_peer
from upstream_arm.presets import PRESETS
from upstream_arm.student import Student

NAME = os.environ.get("SUPERB_TEST_DEVICE", "auto")
NEAR = 1e-4
"""Of the largest value: fp32 on two devices."""
TRAINED = 1e-3
"""After some steps: of a loss, of a gradient's norm, and of weights, but not of Adam's. It divides a gradient
by its size, so that where there is none, as of a key's bias, rounding decides where the weight goes. With
noise of 1e-6 of the largest gradient in all of them, on the CPU, losses were 2e-5 apart and weights 2e-4."""


@pytest.fixture(scope="module", autouse=True)
def device() -> torch.device:
    found = devices.pick(NAME)
    if found.type == "cpu" and NAME != "cpu":
        pytest.skip("needs an accelerator")
    toy.register()
    return found


@pytest.fixture(autouse=True)
def _fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions and LSTMs in fp32: torch has cuDNN compute them in TF32, with 10 bits of fraction."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def near(found: Tensor, expected: Tensor, within: float = NEAR, least: float = 1e-30) -> bool:
    """Whether they differ by such a share of the largest expected value at most, or of `least` if more."""
    apart = float((found.cpu() - expected).abs().max() / expected.abs().max().clamp_min(least))
    if apart > within:
        print(f"{apart:.1e} of the largest value apart")
    return apart <= within


def alike(found: Sequence[float], expected: Sequence[float], within: float) -> bool:
    """Whether numbers differ by such a share of themselves at most; of those below 1, by so much of 1."""
    pairs = zip(found, expected, strict=True)
    apart = max((abs(one - other) / max(abs(other), 1.0) for one, other in pairs), default=0.0)
    print(f"{apart:.1e} apart")
    return apart <= within


def waves(*lengths: int) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(length) / 10 for length in lengths]


@pytest.mark.parametrize("batching", ["exact", "released"])
@pytest.mark.parametrize("lengths", [(16_000,), (16_000, 16_000), (9_000, 16_000, 5_200)])
@pytest.mark.parametrize("preset", ["armhubert", "maskhubert", "small"])
def test_a_student_has_the_cpus_features_and_gradients(
    preset: str, lengths: tuple[int, ...], batching: Any, device: torch.device
) -> None:
    torch.manual_seed(0)
    config = small_student.SMALL if preset == "small" else PRESETS[preset]
    student = Student(config.with_switches(batching=batching)).eval()
    placed = copy.deepcopy(student).to(device)
    wavs = torch.nn.utils.rnn.pad_sequence(waves(*lengths), batch_first=True)
    expected = student(wavs, list(lengths)).hidden_states
    found = placed(wavs.to(device), list(lengths)).hidden_states
    assert all(near(one.detach(), other.detach()) for one, other in zip(found, expected, strict=True))
    for states in (found, expected):
        torch.stack([state.square().mean() for state in states]).sum().backward()
    pairs = zip(placed.parameters(), student.parameters(), strict=True)
    gradients = [(one.grad.cpu(), other.grad) for one, other in pairs if other.grad is not None]
    largest = max(float(other.abs().max()) for _, other in gradients)
    assert max(float((one - other).abs().max()) for one, other in gradients) < 1e-3 * largest


@pytest.mark.parametrize("seconds", [3, 100])
def test_a_long_utterance_has_the_cpus_features(seconds: int, device: torch.device) -> None:
    student, wav = long_utterance(seconds)
    with torch.no_grad():
        expected = student(wav[None], [len(wav)]).hidden_states
        found = student.to(device)(wav[None].to(device), [len(wav)]).hidden_states
    assert all(near(one, other) for one, other in zip(found, expected, strict=True))


def test_a_long_utterance_takes_little_memory(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("how much memory was taken at most is read of CUDA's devices alone")
    student, wav = long_utterance(100)
    student.to(device)
    torch.cuda.reset_peak_memory_stats()
    with torch.no_grad():
        student(wav[None].to(device), [len(wav)])
    assert torch.cuda.max_memory_allocated() < 2 << 30


def long_utterance(seconds: int) -> tuple[Student, Tensor]:
    """A student with the double softmax, and a waveform `[sample]`."""
    torch.manual_seed(0)
    student = Student(PRESETS["armhubert"].replace(reuse_softmax="double")).eval()
    (wav,) = waves(16_000 * seconds)
    return student, wav


def test_what_tf32_changes(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch, and stock s3prl on a GPU, have it by default."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.manual_seed(0)
    student = Student(PRESETS["armhubert"]).eval()
    (wav,) = waves(16_000 * 3)
    with torch.no_grad():
        expected = student(wav[None], [len(wav)]).hidden_states
        found = student.to(device)(wav[None].to(device), [len(wav)]).hidden_states
    far = [
        float((one.cpu() - other).abs().max() / other.abs().max())
        for one, other in zip(found, expected, strict=True)
    ]
    print("of the largest value, by layer:", ", ".join(f"{one:.1e}" for one in far))
    assert max(far) < 0.01


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_autocast_is_near(precision: str, device: torch.device) -> None:
    expert = small_student.build()
    wavs = waves(16_000, 9_000)
    with torch.no_grad():
        expected = expert(wavs)["hidden_states"]
        expert.to(device)
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        with torch.autocast(device.type, dtype):
            found = expert([wav.to(device) for wav in wavs])["hidden_states"]
    assert all(near(one.float(), other, 0.05) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("golden", [*peer_files.GOLDENS, "transformers"])
def test_other_upstreams_have_the_cpus_features(golden: str, device: torch.device, tmp_path: Path) -> None:
    if golden == "transformers":
        pytest.importorskip("transformers")
        from upstream_arm.encoders.transformers_encoder import TransformersEncoder

        upstream: Any = TransformersEncoder(sources.model(tmp_path / "model")).eval()
    else:
        upstream = load_peer(peer_files.GOLDENS[golden][0], peer_files.write(golden, tmp_path)).eval()
    with np.load(peer_files.DATA / "inputs.npz") as arrays:
        wavs = [torch.from_numpy(arrays[f"wav{i}"].astype(np.float32) / 32_768) for i in range(3)]
    with torch.no_grad():
        expected = upstream(wavs)["hidden_states"]
        upstream.to(device)
        found = upstream([wav.to(device) for wav in wavs])["hidden_states"]
    assert all(near(one, other) for one, other in zip(found, expected, strict=True))


def plan(name: str, data: Path, out: Path, where: str) -> RunPlan:
    mode = "memory" if tasks.get(name).pooled else "off"
    return dataclasses.replace(short_runs.plan(name, data, out, mode, 4), device=where)


def comparable(wanted: RunPlan) -> RunPlan:
    """The run without dropout, for which each device draws random numbers of its own, and without Adam."""
    recipe = settings.leaves(wanted.task.recipes[wanted.recipe].copy_config())
    changes: dict[str, Any] = {key: [0.0 for _ in value] for key, value in recipe if key.endswith(".dropout")}
    if wanted.task.train_split:
        changes |= {"optimizer.torch_optim_name": "SGD", "optimizer.lr": 0.1}
    return dataclasses.replace(wanted, overrides={**wanted.overrides, **changes})


def computed(outcome: short_runs.Outcome) -> list[float]:
    """Losses, and the scores of QbE's trials: what rounding changes little."""
    lines = [line[2] for line in outcome.numbers if isinstance(line[2], dict)]
    losses = [value for scalars in lines for name, value in scalars.items() if name.endswith("loss")]
    trials = csv.DictReader(outcome.files.get("trials.csv", "").splitlines())
    return losses or [float(line["score"]) for line in trials]


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_is_near_the_cpus_and_two_runs_are_equal(
    name: str, device: torch.device, tmp_path: Path
) -> None:
    pytest.importorskip("espeakng_loader")
    data = tmp_path / "data"
    tasks.get(name).corpus.make_demo(data)
    places = {"cpu": "cpu", "a": str(device), "b": str(device)}
    expected, found, again = (
        short_runs.outcome(comparable(plan(name, data, tmp_path / out, where)))
        for out, where in places.items()
    )
    assert not short_runs.differences(found, again)
    assert found.weights.keys() == expected.weights.keys() and found.files.keys() == expected.files.keys()
    assert alike(computed(found), computed(expected), TRAINED)
    pairs = [(one, expected.weights[key]) for key, one in found.weights.items() if one.is_floating_point()]
    assert all(near(one, other, TRAINED, least=0.01) for one, other in pairs)


@pytest.mark.parametrize("name", [name for name in tasks.names() if tasks.get(name).train_split])
def test_a_run_that_was_stopped_goes_on_as_one_that_was_not(
    name: str, device: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("espeakng_loader")
    data = tmp_path / "data"
    tasks.get(name).corpus.make_demo(data)

    def wanted(out: str) -> RunPlan:
        made = plan(name, data, tmp_path / out, str(device))
        return dataclasses.replace(made, overrides={**made.overrides, "runner.save_step": 2})

    whole = short_runs.outcome(wanted("whole"))
    update = train.Trainer.update

    def stopping(trainer: Any) -> None:
        if trainer.step + 1 == 4:
            raise KeyboardInterrupt
        update(trainer)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train.Trainer, "update", stopping)
        run(wanted("stopped"))
    assert not short_runs.differences(short_runs.outcome(wanted("stopped")), whole)


@pytest.mark.parametrize("tf32", [False, True])
def test_features_encoded_together_are_within_their_tolerance(tf32: bool, device: torch.device) -> None:
    torch.backends.cudnn.allow_tf32 = tf32
    wavs = waves(*(4_000 + 131 * number for number in range(32)))
    expected = lots.features(lots.source("frames", device, False), wavs, device)
    found = lots.features(lots.source("frames", device, True), wavs, device)
    pairs = [(one.cpu(), other.cpu()) for one, other in zip(found, expected, strict=True)]
    print(max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs))
    assert all(near(one, other, batched.TOLERANCE) for one, other in pairs)


def test_a_card_measures_the_same(device: torch.device) -> None:
    torch.manual_seed(0)
    upstream = toy.Toy().eval()
    expected = card.measure(CheckedUpstream(upstream, "toy"), "toy", thorough=True)
    found = card.measure(CheckedUpstream(upstream.to(device), "toy"), "toy", thorough=True)
    left_out = dict.fromkeys(("rtf", "peak_memory", "machine", "shared_layers", "failed"))
    assert dataclasses.replace(found, **left_out) == dataclasses.replace(expected, **left_out)
    assert not found.failed


def distilled(wanted: Settings, folder: Path, device: str) -> tuple[list[float], list[float]]:
    """What a run recorded: the losses of its steps and of the held-out speech, and its gradients' norms."""
    norms = []
    step = training.Distillation._step

    def with_norm(run: Any, *given: Any) -> Any:
        values = step(run, *given)
        gradients = [one.grad for one in run.student.parameters() if one.grad is not None]
        norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        return values

    with mock.patch.object(training.Distillation, "_step", with_norm):
        training.distil(wanted, folder, training.RuntimeOptions(device=device, validate_every=1))
    lines = tiny_distillation.records(folder)
    assert [line["step"] for line in lines] == list(range(1, len(norms) + 1))
    return [value for line in lines for values in (line, line["dev"]) for value in measured(values)], norms


def measured(record: dict[str, Any]) -> list[float]:
    return [record["loss"], record["masked"], record["unmasked"], *record.get("distance", [])]


@pytest.mark.parametrize(("precision", "within"), [("fp32", TRAINED), ("bf16", 0.03)])
def test_distillation_is_near_the_cpus(
    precision: Any, within: float, device: torch.device, tmp_path: Path
) -> None:
    noise.make_corpus(tmp_path)
    wanted = tiny_distillation.settings(
        tmp_path, precision=precision, student=tiny_distillation.WITHOUT_DROPOUT
    )
    expected = distilled(wanted, tmp_path / "expected", "cpu")
    found = distilled(wanted, tmp_path / "found", str(device))
    assert all(alike(one, other, within) for one, other in zip(found, expected, strict=True))
