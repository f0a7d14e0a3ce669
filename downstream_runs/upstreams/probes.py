"""What can be measured of an upstream by calling it: on what its features depend, where they are finite.

Speech is not needed for that: the audio is seeded noise in the shape of speech (AUDIO).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from downstream_runs.core.generators import random_states, restore_random_states
from downstream_runs.upstreams.checked import SAMPLE_RATE, CheckedUpstream
from downstream_runs.upstreams.efficiency import device_of
from upstream_arm.common.errors import UsageError

AUDIO = "seeded noise in the shape of speech: four syllables a second, energy falling with frequency"
LENGTHS = 17_600, 12_800, 8_000
"""Samples of the three utterances of a batch, a multiple of 20 ms apart."""
ROUNDING, ROUNDING_ELSEWHERE = 1e-4, 1e-2
"""Relative differences up to here are of another order of sums; a GPU convolves with 10 bits (TF32)."""
LONG_SECONDS = 60
CLEARLY = 10
"""A row is another utterance's if it is so many times nearer to that one than to its own."""


class WrongOrder(UsageError):
    """The rows of a batch are not in the order of its waveforms."""


@dataclass(frozen=True)
class Difference:
    """How far features are from others, over the frames that both have.

    absolute: the largest, over all layers. relative: the largest in units of its layer's root mean square.
    Both None where features are not finite. rounding: whether it is no more than another order of sums makes.
    """

    absolute: float | None
    relative: float | None
    rounding: bool


@dataclass(frozen=True)
class Batching:
    """How far an utterance's features in a batch are from those that it has alone, or in another order.

    padded: beside longer ones. equal: beside one of its length. permuted: the batch in another order.
    """

    padded: Difference
    equal: Difference
    permuted: Difference

    @property
    def largest(self) -> Difference:
        """The largest of the three by its relative value."""
        every = (self.padded, self.equal, self.permuted)
        return max(every, key=lambda one: torch.inf if one.relative is None else one.relative)


@dataclass(frozen=True)
class Longer:
    """What more audio at an utterance's end does: samples and frames, and the difference to one before."""

    samples: int
    frames: int
    difference: Difference


class Probe:
    """An upstream that is called with audio of its own making."""

    def __init__(self, module: nn.Module, name: str, states: str, layer: int | None) -> None:
        self.module, self.device = module, device_of(module)
        self._name = name
        self._upstream = CheckedUpstream(module, name, states, layer).eval()
        self._wavs = [speech(length, seed) for seed, length in enumerate(LENGTHS)]

    @functools.cached_property
    def lonely(self) -> list[Tensor]:
        """The layers of three utterances, each encoded alone, `[layer, frame, feature]`."""
        return [self.alone(wav) for wav in self._wavs]

    @property
    def stride(self) -> float:
        """Samples from one frame to the next, of the longest and the shortest of the three utterances."""
        more = self.lonely[0].shape[1] - self.lonely[-1].shape[1]
        return (LENGTHS[0] - LENGTHS[-1]) / max(more, 1)

    def encode(self, wavs: Sequence[Tensor]) -> Tensor:
        """The layers that are used, `[layer, batch, frame, feature]`."""
        with torch.no_grad():
            return torch.stack(self._upstream.used_layers([wav.to(self.device) for wav in wavs])).float()

    def alone(self, wav: Tensor) -> Tensor:
        """The layers that are used of one utterance, `[layer, frame, feature]`."""
        return self.encode([wav])[:, 0]

    def difference(self, found: Tensor, expected: Tensor) -> Difference:
        """Between features `[layer, frame, feature]`."""
        frames = min(found.shape[1], expected.shape[1])
        found, expected = found[:, :frames], expected[:, :frames]
        size = expected.square().mean((1, 2)).sqrt().clamp_min(torch.finfo(torch.float32).tiny)
        most = (found - expected).abs().amax((1, 2))
        absolute, relative = float(most.max()), float((most / size).max())
        if not (relative < torch.inf):
            return Difference(None, None, rounding=False)
        allowed = ROUNDING if self.device.type == "cpu" else ROUNDING_ELSEWHERE
        return Difference(absolute, relative, relative <= allowed)

    def batching(self) -> Batching:
        """On what of a batch features depend; WrongOrder if rows are in another order than waveforms."""
        first, second, third = self._wavs
        batch, turned = self.encode(self._wavs), self.encode([third, second, first])
        rows = [batch[:, index] for index in range(3)]
        self._check_order(rows)
        again = [turned[:, 2], turned[:, 1], turned[:, 0]]
        # Frames behind an utterance's own are of its padding.
        own = [row[:, : one.shape[1]] for row, one in zip(rows, self.lonely, strict=True)]
        pair = self.encode([second, speech(LENGTHS[1], 3)])[:, 0]
        return Batching(
            padded=self._most(rows, self.lonely),
            equal=self.difference(pair, self.lonely[1]),
            permuted=self._most(again, own),
        )

    def repeated(self) -> Difference:
        """Between two calls with the same waveform."""
        return self.difference(self.alone(self._wavs[1]), self.lonely[1])

    def shared_layers(self) -> tuple[tuple[int, int], ...]:
        """Pairs of layers that are one tensor: a change of one in place shows in the other."""
        with torch.no_grad():
            states = self._upstream.used_layers([speech(LENGTHS[2], 9).to(self.device)])
        places = [(state.data_ptr(), state.shape, state.stride()) for state in states]
        first = [places.index(place) for place in places]
        return tuple((earlier, later) for later, earlier in enumerate(first) if earlier < later)

    def longer(self) -> tuple[Longer, ...]:
        """A second of audio, one sample more, and then one, two and three frames more than a second."""
        stride = round(self.stride)
        wav = speech(SAMPLE_RATE + 4 * stride, 5)
        found, before = [], self.alone(wav[:SAMPLE_RATE])
        for more in (0, 1, stride, 2 * stride, 3 * stride):
            now = self.alone(wav[: SAMPLE_RATE + more])
            found.append(Longer(SAMPLE_RATE + more, now.shape[1], self.difference(now, before)))
            before = now
        return tuple(found)

    def by_parity(self) -> bool:
        """Whether one frame more changes features more than two do: even and odd numbers then differ."""
        stride = round(self.stride)
        wav = speech(SAMPLE_RATE + 4 * stride, 5)
        states = [self.alone(wav[: SAMPLE_RATE + count * stride]) for count in range(4)]
        one = [self._size(states[index + 1], states[index]) for index in range(3)]
        two = [self._size(states[index + 2], states[index]) for index in range(2)]
        return max(two) < min(one) / 2

    def refusal(self, wav: Tensor) -> str | None:
        """What is wrong with the features of a waveform, in words; None where they are finite."""
        try:
            finite = bool(self.alone(wav).isfinite().all())
        except Exception as error:  # an upstream may raise anything
            return " ".join(str(error).split()) or type(error).__name__
        return None if finite else "features are not finite"

    def shortest(self) -> int | None:
        """The fewest samples that are encoded, up to a second, by bisection; None if no second is."""
        good, bad = SAMPLE_RATE, 0
        if self.refusal(speech(good, 6)) is not None:
            return None
        while good - bad > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if self.refusal(speech(middle, 6)) is None else (good, middle)
        return good

    def parameters_used(self) -> int | None:
        """Parameters that a gradient of the features reaches; None where the upstream gives none."""
        every = list(self.module.parameters())
        if not all(parameter.is_floating_point() for parameter in every):  # int8 passes no gradient on
            return None
        frozen = [parameter for parameter in every if not parameter.requires_grad]
        try:
            for parameter in frozen:
                parameter.requires_grad_(True)
            with torch.enable_grad():
                states = self._upstream.used_layers([speech(LENGTHS[1], 7).to(self.device)])
                total = torch.stack([state.float().sum() for state in states]).sum()
                if not total.requires_grad:
                    return None
                reached = torch.autograd.grad(total, every, allow_unused=True)
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)
        return sum(one.numel() for one, gradient in zip(every, reached, strict=True) if gradient is not None)

    def _most(self, found: Sequence[Tensor], expected: Sequence[Tensor]) -> Difference:
        every = [self.difference(one, other) for one, other in zip(found, expected, strict=True)]
        return max(every, key=lambda one: torch.inf if one.relative is None else one.relative)

    def _size(self, found: Tensor, expected: Tensor) -> float:
        relative = self.difference(found, expected).relative
        return torch.inf if relative is None else relative

    def _check_order(self, rows: Sequence[Tensor]) -> None:
        """WrongOrder if a batch's rows are clearly those of its waveforms in another order."""
        sizes = [[self._size(row, one) for one in self.lonely] for row in rows]
        order = [one.index(min(one)) for one in sizes]
        wrong = [row for row, nearest in enumerate(order) if row != nearest]
        clear = all(sizes[row][row] > CLEARLY * sizes[row][order[row]] for row in wrong)
        if wrong and clear and sorted(order) == list(range(len(rows))):
            raise WrongOrder(
                f"upstream {self._name} gives the features of waveform {order[wrong[0]]} of a batch in row "
                f"{wrong[0]}, expected rows in the order of the waveforms: put them back in that order"
            )


def speech(samples: int, seed: int) -> Tensor:
    """A waveform `[sample]` of AUDIO, of about the level of speech."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(samples + 64, generator=generator)
    # Energy that falls by 6 dB an octave above 250 Hz.
    kernel = 0.9 ** torch.arange(64.0)
    coloured = nn.functional.conv1d(white.view(1, 1, -1), kernel.view(1, 1, -1))[0, 0, :samples]
    syllables = torch.sin(torch.pi * 4 * torch.arange(samples) / SAMPLE_RATE).square()
    return 0.03 * coloured * syllables


def hard_cases() -> dict[str, Tensor]:
    """Audio on which normalisation and attention are known to break, by what it is."""
    second = torch.arange(SAMPLE_RATE)
    return {
        "silence": torch.zeros(SAMPLE_RATE),
        "clipping": torch.where((second // 40) % 2 == 0, 1.0, -1.0),
        f"{LONG_SECONDS} s": speech(LONG_SECONDS * SAMPLE_RATE, 8),
    }


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """What is measured within it draws no random numbers from what comes after."""
    states = random_states()
    try:
        yield
    finally:
        restore_random_states(states)
