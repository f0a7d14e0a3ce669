"""What the families share: the front end, the encoder's layers, and padding that is seen or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from upstream_arm.common import devices
from upstream_arm.config import StudentConfig, check_divisible, check_values
from upstream_arm.convolutions import frames
from upstream_arm.encoder import Encoder
from upstream_arm.frontend import FrontEnd, own_counts, valid_frames
from upstream_arm.student import StudentOutput, check_lengths, repeat_last, repeated_last


@dataclasses.dataclass(frozen=True)
class PeerConfig(StudentConfig):
    """Shape of a peer's student: HuBERT's, with what the family does otherwise.

    Every layer computes its own attention map. `batching="released"` is what the family's authors do:
    statistics over the batch's padding, and for LightHuBERT one frame of it taken for speech.
    """

    normalises: bool = False  # each waveform to mean 0 and variance 1 over its own samples
    front_norm: bool = True  # a LayerNorm over the convolutions' channels
    projects: bool | None = (
        None  # a linear map to the encoder's width; None: where the channels are not as many
    )
    cnn_state: bool = False  # the first of the hidden states is the front end's output
    layer_grad_scale: bool = False

    def __post_init__(self) -> None:
        """UpstreamError for values that no such student can have."""
        check_values(self)
        check_divisible(self, "heads")

    @property
    def switches(self) -> dict[str, str]:
        """The settings that change the arithmetic without changing the weights; every result records them."""
        return {"batching": self.batching}


class Peer(nn.Module):
    """Waveforms in, hidden states out: in inference, those of the authors' code."""

    config: PeerConfig

    def __init__(
        self, config: PeerConfig, front_end: FrontEnd | None = None, encoder: Encoder | None = None
    ) -> None:
        super().__init__()
        self.config = config
        channels, width = config.conv_layers[-1][0], config.embed_dim
        self.feature_extractor = front_end or FrontEnd(config.conv_layers)
        self.layer_norm = nn.LayerNorm(channels) if config.front_norm else nn.Identity()
        projects = channels != width if config.projects is None else config.projects
        self.post_extract_proj = nn.Linear(channels, width) if projects else nn.Identity()
        self.dropout_input = nn.Dropout(config.dropout_input)
        self.encoder = encoder or Encoder(config)

    def forward(self, wavs: Tensor, lengths: Sequence[int]) -> StudentOutput:
        """Compute every exported state.

        With `batching="exact"` an utterance's features are those that it gets alone, and padded frames repeat
        its last one. `wavs` are raw 16 kHz waveforms [batch, sample], zero-padded, and `lengths` each one's
        own samples; UpstreamError if one is too short.
        """
        counts = [frames(length, self.config.conv_layers) for length in lengths]
        check_lengths(lengths, counts, self.config)
        exact = self.config.batching == "exact"
        if self.config.normalises:
            own = (wav[:length] for wav, length in zip(wavs, lengths, strict=True))
            wavs = pad_sequence([F.layer_norm(wav, wav.shape) for wav in own], batch_first=True)
        first = last = None
        if exact and min(lengths) < wavs.shape[1]:
            first, last = own_counts(lengths, self.config.conv_layers, wavs.device)
        x = self.convolve(wavs, lengths, first)
        x = self.dropout_input(self.post_extract_proj(self.layer_norm(x)))
        own_frames = counts if exact else self.counted(counts, lengths, wavs.shape[1])
        if min(own_frames) < x.shape[1]:
            valid = valid_frames(own_frames if last is None else last, x.shape[1], x.device)
            x = x * valid.unsqueeze(2)
        else:
            valid = None
        states, counts = self.encode(x, valid, counts)
        if exact and valid is not None:
            if last is None or counts != own_frames:
                last = devices.to_device(torch.tensor(counts), x.device)
            kept = repeated_last(last, states[0].shape[1])
            states = [repeat_last(state, kept) for state in states]
        return StudentOutput(states, counts)

    def convolve(self, wavs: Tensor, lengths: Sequence[int], own: Tensor | None = None) -> Tensor:
        """[batch, sample] to [batch, frame, channel]; `own` as the front end takes it."""
        features: Tensor = self.feature_extractor(wavs, lengths, self.config.batching == "exact", own)
        return features

    def counted(self, counts: list[int], lengths: Sequence[int], samples: int) -> list[int]:
        """Each utterance's frames as the family's authors count them in a batch of so many samples."""
        return counts

    def encode(self, x: Tensor, valid: Tensor | None, counts: list[int]) -> tuple[list[Tensor], list[int]]:
        """The exported states of [batch, frame, width], each of one shape, and each utterance's own frames.

        `valid` is [batch, frame] of bool, None if nothing is padded.
        """
        states = self.encoder.path(self.encoder.place(x, valid), valid)
        return ([x, *states] if self.config.cnn_state else states), counts
