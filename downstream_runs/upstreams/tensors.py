"""What can be wrong with an upstream's hidden states beside their shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Fault:
    """A fault in words: what was found of the upstream, what is expected, and what is to be done."""

    found: str
    expected: str
    then: str = "correct its forward"


def fault(states: Sequence[Tensor], wavs: Sequence[Tensor]) -> Fault | None:
    """What keeps s3prl from using these layers `[batch, frame, feature]` of waveforms; None: nothing.

    Looks at no value, so that a GPU need not be waited for.
    """
    place, several = wavs[0].device, len(states) > 1
    for number, state in enumerate(states):
        layer = f"layer {number}" if several else "its one layer"
        if state.is_nested or state.layout != torch.strided:
            kind = "a nested" if state.is_nested else f"a {str(state.layout).removeprefix('torch.')}"
            return Fault(f"has {kind} tensor as {layer}", "a dense one")
        if state.device != place:
            return Fault(f"has {layer} on {state.device} for waveforms on {place}", f"it on {place}")
        if advice := _wrong_type(state, several):
            return Fault(f"gives {layer} as {state.dtype}", "torch.float32", advice)
        if state.requires_grad and not torch.is_grad_enabled():
            found = f"gives {layer} with a gradient, though it was called without one"
            return Fault(found, "none", "detach what it returns")
        if state.is_inference() and not several:  # a sum of several is a new tensor
            found = f"gives {layer} of torch.inference_mode"
            return Fault(found, "a tensor that a head can be trained on", "use torch.no_grad in it")
    if 0 in states[0].shape[1:]:
        found = f"gives no {'features' if states[0].shape[1] else 'frames'} for {_seconds(wavs)} of audio"
        return Fault(found, "at least one", "leave such audio out, or correct its forward")
    return None


def first_fault(states: Sequence[Tensor], wavs: Sequence[Tensor], before: Sequence[Tensor]) -> Fault | None:
    """What a look at the values of a first call shows: NaN, or waveforms that are not as `before` it."""
    if not all(bool(wav.isfinite().all()) for wav in before):
        return None
    for number, (wav, kept) in enumerate(zip(wavs, before, strict=True)):
        if not torch.equal(wav, kept):
            found = f"changes the waveforms that it is given, number {number} of the batch"
            return Fault(found, "them as they were", "have it work on a copy")
    for number, state in enumerate(states):
        if not bool(state.isfinite().all()):
            found = f"gives NaN or infinity in layer {number} for {_seconds(wavs)} of audio"
            return Fault(found, "finite numbers", "check its weights")
    return None


def _wrong_type(state: Tensor, several: bool) -> str:
    """What to do about a type that s3prl's featurizer does not make fp32 of; empty where it does.

    It multiplies several layers with weights in fp32; one layer alone goes to the head as it is, which is
    right under autocast (`--precision`).
    """
    if not state.is_floating_point():
        return "features are real numbers, return those and no codes"
    half = state.dtype in (torch.float16, torch.bfloat16)
    fits = state.dtype == torch.float32 or (
        half and (several or torch.is_autocast_enabled(state.device.type))
    )
    return "" if fits else "return it as float32"


def _seconds(wavs: Sequence[Tensor]) -> str:
    return f"{max(map(len, wavs)) / SAMPLE_RATE:.2f} s"
