"""An upstream whose features depend on the batch: its group norm takes the padding for speech."""

from __future__ import annotations

import torch
from torch import nn

HOP = 160


class Unpromised(nn.Module):
    """Frames of 10 ms by a convolution, normalised over time; hidden states `[batch, frame, 8]`.

    It does not say how many samples a frame has.
    """

    untrained = True

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv = nn.Conv1d(1, 8, 400, HOP)
            self.norm = nn.GroupNorm(8, 8)
            self.linear = nn.Linear(8, 8)

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, object]:
        """The hidden states of a list of waveforms `[sample]`."""
        padded = nn.utils.rnn.pad_sequence(wavs, batch_first=True)
        hidden = self.norm(self.conv(padded.unsqueeze(1))).transpose(1, 2)
        states = [hidden, torch.tanh(self.linear(hidden))]
        return {"hidden_states": states, "last_hidden_state": states[-1]}


class GroupNormed(Unpromised):
    """Says how many samples a frame has."""

    def get_downsample_rates(self, key: str) -> int:
        """Samples per frame."""
        return HOP
