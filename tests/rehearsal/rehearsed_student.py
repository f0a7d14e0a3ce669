"""The students on a pretend accelerator: the CPU's numbers, and what a forward pass costs there."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import rehearsal
import small_student
import torch
from torch import Tensor

from upstream_arm import attention
from upstream_arm.presets import PRESETS
from upstream_arm.student import Student

KERNELS = 330
"""The most kernels of one forward pass, in any batch."""

ALONE, ALIKE, PADDED = [4_000], [4_000, 4_000], [2_500, 4_000, 1_300]


def batch(lengths: Sequence[int]) -> Tensor:
    """Random waveforms of these lengths, zero-padded."""
    torch.manual_seed(1)
    wavs = torch.randn(len(lengths), max(lengths))
    for wav, length in zip(wavs, lengths, strict=True):
        wav[length:] = 0
    return wavs


def pair(config: str) -> tuple[Student, Student]:
    """A student on the CPU and one of the same weights on the device."""
    torch.manual_seed(0)
    chosen = small_student.SMALL if config == "small" else PRESETS[config]
    student = Student(chosen).eval()
    with rehearsal.counting():
        return student, copy.deepcopy(student).to(rehearsal.DEVICE)


def total(states: Sequence[Tensor]) -> Tensor:
    """A number that all values of the layers have a part in."""
    return torch.stack([state.square().mean() for state in states]).sum()


@pytest.mark.parametrize("lengths", [ALONE, ALIKE, PADDED], ids=["alone", "alike", "padded"])
@pytest.mark.parametrize("batching", ["exact", "released"])
@pytest.mark.parametrize("maps_fit", [True, False])
def test_forward_and_backward_have_the_cpus_numbers(
    maps_fit: bool, lengths: list[int], batching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not maps_fit:
        monkeypatch.setattr(attention, "UNKNOWN", 1)
        monkeypatch.setattr(attention, "CPU_BLOCK", 1)
    torch.manual_seed(0)
    student = Student(small_student.SMALL.with_switches(batching=batching)).eval()
    wavs = batch(lengths)
    student.explicit = maps_fit  # as the device has it
    expected = student(wavs, lengths).hidden_states
    total(expected).backward()
    with rehearsal.counting():
        placed = copy.deepcopy(student).to(rehearsal.DEVICE)
        placed.zero_grad()
        placed.explicit = False
        on_device = wavs.to(rehearsal.DEVICE)
    with rehearsal.counting() as counts:
        states = placed(on_device, lengths).hidden_states
        total(states).backward()
    assert all(
        torch.equal(rehearsal.on_host(one), other) for one, other in zip(states, expected, strict=True)
    )
    gradients = dict(placed.named_parameters())
    for name, parameter in student.named_parameters():
        found = gradients[name].grad
        assert (found is None) == (parameter.grad is None), name
        assert found is None or torch.equal(rehearsal.on_host(found), parameter.grad), name
    assert not counts.waits and not counts.copies_out
    assert sum(counts.copies_in.values()) == (1 if lengths is PADDED else 0), counts.copies_in


@pytest.mark.parametrize("preset", ["armhubert", "maskhubert"])
@pytest.mark.parametrize("lengths", [ALONE, ALIKE, PADDED], ids=["alone", "alike", "padded"])
def test_a_forward_pass_keeps_to_its_budget(preset: str, lengths: list[int]) -> None:
    _, placed = pair(preset)
    with rehearsal.counting(), torch.no_grad():
        wavs = batch(lengths).to(rehearsal.DEVICE)
        with rehearsal.counting() as counts:
            placed(wavs, lengths)
    assert sum(counts.kernels.values()) <= KERNELS, counts.kernels
    assert sum(counts.copies_in.values()) == (1 if lengths is PADDED else 0), counts.copies_in
    assert not counts.waits and not counts.copies_out


def test_operands_on_two_devices_are_refused() -> None:
    with (
        rehearsal.counting(),
        pytest.raises(RuntimeError, match="add got tensors on rehearsal:0"),
    ):
        torch.ones(3, device=rehearsal.DEVICE) + torch.ones(3)


def test_what_is_counted() -> None:
    with rehearsal.counting():
        x = torch.ones(3).to(rehearsal.DEVICE)
        with rehearsal.counting() as counts:
            y = (x + 1).view(3, 1)
            assert float(y.sum()) == 6 and y.cpu().tolist() == [[2.0]] * 3 and x.tolist() == [1.0] * 3
            torch.tensor([1.0], device=rehearsal.DEVICE)
            assert bool((x > 0).all())
    assert counts.kernels == {"add": 1, "sum": 1, "gt": 1, "all": 1}
    assert (counts.row(), counts.views["view"]) == ((4, 1, 2, 2), 1)
