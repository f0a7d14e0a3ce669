"""An upstream of three random layers: featurizer weights are trained, and construction draws numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

HOP = 320


class Toy(nn.Module):
    """Frames of 20 ms through three linear layers; hidden states `[batch, frame, 16]`."""

    untrained = True

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(HOP, 16), nn.Linear(16, 16), nn.Linear(16, 16)])

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return HOP

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, object]:
        """The hidden states of a list of waveforms `[sample]`."""
        padded = nn.utils.rnn.pad_sequence(wavs, batch_first=True)
        whole = nn.functional.pad(padded, (0, -padded.shape[1] % HOP))
        hidden = whole.view(len(wavs), -1, HOP)
        states = []
        for layer in self.layers:
            hidden = torch.tanh(layer(hidden))
            states.append(hidden)
        return {"hidden_states": states, "last_hidden_state": hidden}


def register() -> None:
    """Make it s3prl's upstream `toy`."""
    from downstream_runs import bridge

    bridge.apply()
    import s3prl.hub

    s3prl.hub.toy = lambda **kwargs: Toy()


def spoil(factors: Mapping[int, float]) -> Callable[[], None]:
    """Have s3prl's ASR expert scale the gradient of its n-th training batch by `factors[n]`.

    The loss stays as it is, as after s3prl's zero_infinity. What is returned undoes it.
    """
    import s3prl.downstream.asr.expert as asr

    real, count = asr.DownstreamExpert.forward, itertools.count(1)

    def forward(expert: Any, split: str, *arguments: Any, **options: Any) -> Any:
        loss = real(expert, split, *arguments, **options)
        factor = factors.get(next(count)) if split == "train" else None
        if factor is not None:
            loss.register_hook(lambda gradient: gradient * factor)
        return loss

    asr.DownstreamExpert.forward = forward
    return lambda: setattr(asr.DownstreamExpert, "forward", real)
