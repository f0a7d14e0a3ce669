"""The loop: what comes out, exact continuation after SIGKILL, and the same student on more devices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_distillation import records

from upstream_arm.checkpoint import load_student, read
from upstream_arm.common import lock
from upstream_arm.common.errors import UpstreamError, UsageError
from upstream_arm.config import StudentConfig
from upstream_arm.convert import convert
from upstream_arm.distillation import state
from upstream_arm.distillation.settings import MaskRatio, Settings, recipe
from upstream_arm.distillation.training import RuntimeOptions, adamw, distil, learning_rate
from upstream_arm.expert import from_checkpoint
from upstream_arm.student import Student

CPU = RuntimeOptions(device="cpu", save_every=2, validate_every=3)
REPOSITORY = Path(__file__).resolve().parents[3]


def same_weights(one: Path, two: Path) -> bool:
    weights, others = load_file(one), load_file(two)
    return all(torch.equal(weights[key], others[key]) for key in weights)


def test_a_run_makes_a_student_that_the_benchmark_loads(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    path = distil(settings(), tmp_path / "run", CPU)
    checkpoint = read(path)
    assert checkpoint.config is not None and checkpoint.config.projection_dim == 64
    assert checkpoint.config.reuse_softmax == "single"
    assert checkpoint.labels == ("untrained-teacher",)
    assert json.loads(str(checkpoint.metadata["settings"]))["objective"] == "full"
    upstream = from_checkpoint(path)
    states = upstream([torch.randn(8_000), torch.randn(5_000)])["hidden_states"]
    assert len(states) == 6 and states[0].shape == (2, 24, 64)
    assert not upstream.untrained and upstream.labels == ("untrained-teacher",)
    convert(path, tmp_path / "again.safetensors")
    assert read(tmp_path / "again.safetensors").labels == ("untrained-teacher",)
    lines = records(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(1, 7))
    assert "dev" in lines[2] and "dev" in lines[5] and "dev" not in lines[4]
    assert lines[-1]["loss"] == pytest.approx(lines[-1]["masked"] + lines[-1]["unmasked"])
    assert 0.1 < lines[0]["masked_fraction"] < 0.8
    assert any((tmp_path / "run" / "tensorboard").iterdir())
    # Run again, it is done.
    before = path.stat().st_mtime_ns
    assert distil(settings(), tmp_path / "run", CPU) == path and path.stat().st_mtime_ns == before


def test_losses_fall(settings: Callable[..., Settings], tmp_path: Path) -> None:
    distil(settings(epochs=20, full_epochs=30), tmp_path, CPU)
    lines = records(tmp_path)
    for part in ("masked", "unmasked"):
        assert lines[-1][part] < 0.8 * lines[0][part]
    dev = [line["dev"] for line in lines if "dev" in line]
    assert dev[-1]["distance_last"] < 0.8 * dev[0]["distance_last"]
    assert read(tmp_path / state.STUDENT).labels == ("untrained-teacher", "shortened")


def arguments(student: StudentConfig, noise: Path, folder: Path, out: str, epochs: int) -> list[str]:
    """The command line of what `settings` says, in a process of its own."""
    yaml_file = folder / "student.yaml"
    yaml_file.write_text(yaml.safe_dump({"student": student.to_mapping()}))
    options = "--teacher random:hubert --hours 100 --mask-ratio 0.8 --learning-rate 3e-3 --device cpu"
    options += f" --batch-size 2 --effective-batch 4 --epochs {epochs} --save-every 4 --validate-every 8"
    paths = ["--data", str(noise), "--model-config", str(yaml_file), "--out", str(folder / out)]
    return ["-m", "upstream_arm", "distill", *options.split(), *paths]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_student(
    settings: Callable[..., Settings], noise: Path, tmp_path: Path
) -> None:
    def command(out: str) -> list[str]:
        return [sys.executable, *arguments(settings().student, noise, tmp_path, out, 8), "--workers", "1"]

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command("whole"), env=ENVIRONMENT, check=True, capture_output=True)
    process = subprocess.Popen(
        command("broken"), env=ENVIRONMENT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    metrics = broken / state.METRICS
    deadline = time.monotonic() + 200
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= 13):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (broken / state.STUDENT).exists()
    subprocess.run(command("broken"), env=ENVIRONMENT, check=True, capture_output=True)
    assert records(broken) == records(whole) and len(records(whole)) == 24
    assert same_weights(whole / state.STUDENT, broken / state.STUDENT)


@pytest.mark.slow
def test_two_processes_make_the_student_of_one(
    settings: Callable[..., Settings], noise: Path, tmp_path: Path
) -> None:
    """The same batches, masks and dropout behind each step; only the order of summation differs."""
    distil(settings(epochs=4, full_epochs=20), tmp_path / "one", CPU)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, *arguments(settings().student, noise, tmp_path, "two", 4), "--workers", "0"]
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
    one, two = records(tmp_path / "one"), records(tmp_path / "two")
    assert [line["loss"] for line in one] == pytest.approx([line["loss"] for line in two], rel=1e-3)
    assert one[0]["loss"] == pytest.approx(two[0]["loss"], rel=1e-6)
    assert len(one) == 12


@pytest.mark.parametrize("objective", ["masked_only", "unmasked_from_clean", "layer_to_layer"])
@pytest.mark.parametrize("form", ["paper", "released"])
def test_every_objective_and_form_trains(
    settings: Callable[..., Settings], tmp_path: Path, objective: str, form: str
) -> None:
    ratio = None if objective == "layer_to_layer" else MaskRatio.parse("0.4:0.8")
    distil(settings(objective=objective, form=form, ratio=ratio, teacher="random:wavlm"), tmp_path, CPU)
    lines = records(tmp_path)
    assert all(line["loss"] > 0 for line in lines)
    assert (lines[-1]["masked"] > 0) == (objective != "layer_to_layer")
    assert (lines[-1]["unmasked"] > 0) == (objective != "masked_only")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near(settings: Callable[..., Settings], tmp_path: Path, precision: str) -> None:
    distil(settings(), tmp_path / "full", CPU)
    distil(settings(precision=precision), tmp_path / "half", CPU)
    full, half = records(tmp_path / "full"), records(tmp_path / "half")
    assert half[-1]["loss"] == pytest.approx(full[-1]["loss"], rel=0.03)
    assert half[-1]["loss"] != full[-1]["loss"]
    weights = load_file(tmp_path / "half" / state.STUDENT)
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_other_settings_do_not_go_on_in_a_folder(settings: Callable[..., Settings], tmp_path: Path) -> None:
    distil(settings(), tmp_path / "run", CPU)
    with pytest.raises(UpstreamError, match="holds a run with seed 0, this one has 1; give the same options"):
        distil(settings(seed=1), tmp_path / "run", CPU)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(UpstreamError, match=r"no settings.json"):
        distil(settings(), tmp_path / "notes", CPU)


def test_a_damaged_state_is_refused(settings: Callable[..., Settings], tmp_path: Path) -> None:
    distil(settings(), tmp_path, CPU)
    file = next(tmp_path.glob("state-*.pt"))
    file.write_bytes(file.read_bytes()[:-7] + b"damaged")
    with pytest.raises(UpstreamError, match=r"is missing or damaged .*remove .* to begin again"):
        distil(settings(), tmp_path, CPU)


def test_divergence_ends_in_a_sentence(settings: Callable[..., Settings], tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match=r"diverged; lower --learning-rate"):
        distil(settings(learning_rate=1e30), tmp_path, CPU)


def test_folders_are_held_by_one_run(settings: Callable[..., Settings], tmp_path: Path) -> None:
    with lock.hold(tmp_path), pytest.raises(UsageError, match="is in use by process"):
        distil(settings(), tmp_path, CPU)


def test_learning_rate_is_linear_up_and_down() -> None:
    rates = [learning_rate(step, 199, 1.0) for step in range(199)]
    assert rates[9] == pytest.approx(1.0) and max(rates) == rates[9]
    assert rates[0] == pytest.approx(0.1) and rates[-1] == pytest.approx(1 / 190)
    assert rates[104] == pytest.approx(0.5)


def test_weight_decay_spares_biases_alone() -> None:
    student = Student(recipe("tiny").config)
    decayed, spared = adamw(student, 1e-3).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)
    biases = {id(p) for name, p in student.named_parameters() if name.endswith("bias")}
    assert {id(p) for p in spared["params"]} == biases
    assert len(decayed["params"]) + len(biases) == len(list(student.parameters()))


def test_a_checkpoint_loads_without_naming_its_shape(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    student = load_student(distil(settings(), tmp_path, CPU))
    assert student.config.reuse_pattern == (True, False) * 3


def test_students_are_kept_on_the_way(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """They are called unfinished, and are those that a run killed there would go on from."""
    options = RuntimeOptions(device="cpu", save_every=1, keep_every=2)
    last = distil(settings(), tmp_path, options)
    kept = sorted(path.name for path in tmp_path.glob("student-*"))
    assert kept == ["student-00000002.safetensors", "student-00000004.safetensors"]
    early, late = read(tmp_path / kept[0]), read(last)
    assert "unfinished" in early.labels and "unfinished" not in late.labels
    assert json.loads(str(early.metadata["final"]))["step"] == 2
    assert not torch.equal(*(one.student_state["mask_emb"] for one in (early, late)))
