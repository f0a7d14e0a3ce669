"""What an upstream costs is counted on any module, and counting leaves no trace in a run's numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import toy
from small_student import SMALL, build
from torch import nn

from downstream_runs.upstreams import efficiency
from upstream_arm.profiling import profile

WEIGHTS = 320 * 16 + 2 * 16 * 16
LENGTHS = 1600, 6401  # in place of 32: a recurrent layer takes a second for each second of audio
FRAMES = 5 + 21


class Looking(toy.Toy):
    """Looks at the content of its waveforms, which a tensor without content refuses."""

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, Any]:
        assert bool(wavs[0].isfinite().all()) and torch.rand(()) < 1  # draws, as dither does
        return super().forward(wavs)


class Recurrent(toy.Toy):
    """An LSTM behind the toy, whose products a fused operation hides."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 8, batch_first=True)

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, Any]:
        return {"hidden_states": [self.lstm(super().forward(wavs)["last_hidden_state"])[0]]}


class Broken(toy.Toy):
    def forward(self, wavs: list[torch.Tensor]) -> dict[str, Any]:
        raise RuntimeError("not here")


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (toy.Toy(), FRAMES * WEIGHTS),
        (Looking(), FRAMES * WEIGHTS),
        (Recurrent(), FRAMES * (WEIGHTS + 4 * 8 * (16 + 8))),
        (Broken(), None),
    ],
    ids=["toy", "content", "lstm", "broken"],
)
def test_macs_are_summed_over_utterances(
    monkeypatch: pytest.MonkeyPatch, module: nn.Module, expected: int | None
) -> None:
    monkeypatch.setattr(efficiency, "LENGTHS", LENGTHS)
    before = torch.get_rng_state()
    assert efficiency.macs(module) == expected
    assert torch.equal(torch.get_rng_state(), before)


def test_macs_of_a_student_are_its_formula() -> None:
    assert efficiency.macs(build()) == profile.of_config("", SMALL).macs


def test_memory_is_of_weights_and_of_the_most_that_is_held_at_once() -> None:
    measured = efficiency.measure(toy.Toy())
    frames = efficiency.SECONDS * 16_000 // toy.HOP
    weights = 4 * (WEIGHTS + 3 * 16)
    waveform, states = 4 * efficiency.SECONDS * 16_000, 4 * frames * 16
    assert measured.parameters == weights // 4
    # The padded waveforms twice at most, and three layers before and after tanh.
    assert weights + waveform + 3 * states <= measured.peak_memory <= weights + 2 * waveform + 6 * states
    assert 0 < measured.rtf < 1
    assert measured.machine == efficiency.machine(torch.device("cpu"))
