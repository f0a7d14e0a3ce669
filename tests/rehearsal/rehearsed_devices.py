"""What is chosen by `--device auto` on a pretend accelerator: names, precision, random states, fallbacks."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import noise
import pytest
import rehearsal
import small_student
import torch
import toy

from downstream_runs.core import generators
from downstream_runs.engine import run, run_dir
from downstream_runs.engine.checkpoints import read_tensors
from downstream_runs.upstreams import efficiency
from upstream_arm import attention
from upstream_arm.common import devices
from upstream_arm.distillation import objective
from upstream_arm.profiling import hooks
from upstream_arm.student import Student


@pytest.fixture(autouse=True)
def _working() -> Iterator[None]:
    with rehearsal.counting():
        yield


def test_auto_is_the_accelerator_and_the_names_of_others_are_refused() -> None:
    assert devices.pick("auto") == rehearsal.DEVICE
    assert devices.pick("cpu") == torch.device("cpu")
    with pytest.raises(devices.UsageError, match="cuda is not here, torch sees cpu, rehearsal:0; use one"):
        devices.pick("cuda")


def test_a_run_says_where_it_was_and_keeps_the_random_states(tmp_path: Path) -> None:
    toy.register()
    corpus = noise.make_corpus(tmp_path / "noise")
    runner = {"total_steps": 2, "eval_step": 2, "save_step": 1, "gradient_accumulate_steps": 1, "log_step": 2}
    plan = noise.tiny_plan(corpus, tmp_path / "out", upstream="toy", runner=runner, device="auto")
    assert run(plan).device == rehearsal.NAME
    newest = max((run_dir(plan) / "checkpoints").glob("*.pt"))
    states = read_tensors(newest)["random_states"]
    assert len(states[rehearsal.NAME]) == 1 and states["cuda"] == []
    generators.restore_random_states(states)


def test_macs_are_the_cpus() -> None:
    torch.manual_seed(0)
    student = Student(small_student.SMALL).eval()
    student.explicit = True  # the pretend device's fused attention cannot be switched off

    def forward(module: Any, wav: torch.Tensor) -> object:
        return module(wav.unsqueeze(0), [len(wav)])

    expected = hooks.count(student, [4_000, 2_000], forward)
    placed = copy.deepcopy(student).to(rehearsal.DEVICE)
    assert hooks.count(placed, [4_000, 2_000], forward) == expected


def test_what_the_device_lacks_is_done_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "LACKS", {rehearsal.NAME: {devices.FLOAT64, devices.PEAKS}})
    torch.manual_seed(0)
    states, targets = torch.randn(2, 1, 5, 3)
    valid = torch.ones(1, 5, dtype=torch.bool)
    found = []
    for place in ("cpu", rehearsal.DEVICE):
        distances = objective._Distances()
        distances.add([states.to(place)], [targets.to(place)], valid.to(place))
        found.append((torch.as_tensor(distances.errors).device.type, distances.values()))
    assert found[0] == found[1] == ("cpu", found[0][1])
    module = toy.Toy()
    expected = efficiency.peak_memory(module)
    assert efficiency.peak_memory(module.to(rehearsal.DEVICE)) == expected
    assert efficiency.device_of(module) == rehearsal.DEVICE


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_blocks_of_the_double_softmax_have_the_whole_maps_numbers(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    given = [torch.randn(2, 2, 9, 4) for _ in range(3)]
    valid = torch.arange(9) < torch.tensor([[9], [5]])
    expected = attention.double_softmax_attention(*given, valid)
    monkeypatch.setattr(devices, "memory", lambda device: 4 * attention.SHARE * rows * 2 * 2 * 9)
    placed = [one.to(rehearsal.DEVICE) for one in given]
    mask = valid.to(rehearsal.DEVICE)
    with rehearsal.counting() as counts:
        found = attention.double_softmax_attention(*placed, mask)
    torch.testing.assert_close(rehearsal.on_host(found), expected, atol=1e-6, rtol=0)
    assert not counts.copies_in and not counts.copies_out and not counts.waits
    assert counts.kernels["_softmax"] == -(-9 // min(rows, 9))
