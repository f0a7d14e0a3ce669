"""A forecast's counts of a student's forward pass, beside those of the pretend accelerator."""

from __future__ import annotations

import pytest
import rehearsal
import small_student
import torch

from downstream_runs.estimate import counts
from upstream_arm.expert import UpstreamExpert
from upstream_arm.student import Student


@pytest.mark.parametrize("lengths", [[4_000], [4_000, 4_000], [4_000, 2_500, 1_300]])
def test_kernels_are_those_of_the_pretend_device(lengths: list[int]) -> None:
    torch.manual_seed(0)
    forecast = counts.of_pass(UpstreamExpert(Student(small_student.SMALL).eval()), lengths)
    with rehearsal.counting(), torch.no_grad():
        expert = UpstreamExpert(Student(small_student.SMALL).eval().to(rehearsal.DEVICE))
        wavs = [torch.randn(length).to(rehearsal.DEVICE) for length in lengths]
        with rehearsal.counting() as rehearsed:
            expert(wavs)
    # A copy from the host is no kernel on the device.
    assert sum(rehearsed.kernels.values()) <= forecast.kernels <= sum(rehearsed.kernels.values()) + 1
