"""The speaker encoder of Resemblyzer, trained with the GE2E loss (arXiv 1710.10467): three LSTM layers.

Facts from Resemblyzer 0.1.4 (Apache-2.0). A file is its `pretrained.pt`: {"step", "model_state",
"optimizer_state"}. Exported are the layers' outputs at every frame of the whole utterance, 100 a second. Its
authors use a mean of windows of 1.6 s, of which the last frame alone goes through one more linear layer, and
cut long silences out before; both would take away the time of the frames.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from upstream_arm.checkpoint import student_weights
from upstream_arm.common import devices
from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.words import shown
from upstream_arm.config import ConvLayer
from upstream_arm.names import SWITCHES
from upstream_arm.peers.family import Family, PeerFile
from upstream_arm.student import SAMPLE_RATE, StudentOutput, repeat_last, repeated_last

WINDOW, HOP, BANDS = 400, 160, 40
WIDTH = 256
#: Root mean square to which quieter waveforms are brought: -30 dB below full scale.
QUIET = 10 ** (-30 / 20)


@dataclasses.dataclass(frozen=True)
class Ge2eConfig:
    """Its one shape. `batching` changes nothing: an utterance's frames never depend on its batch."""

    conv_layers: tuple[ConvLayer, ...] = ((BANDS, 1, HOP),)  # the spectrum, as far as lengths are concerned
    batching: str = "exact"

    @property
    def switches(self) -> dict[str, str]:
        """As of a student."""
        return {"batching": self.batching}

    def with_switches(self, batching: str | None = None) -> Ge2eConfig:
        """A copy with the switch set, if one is given; UpstreamError for an unknown value."""
        if batching not in (None, *SWITCHES["batching"]):
            known = ", ".join(SWITCHES["batching"])
            raise UpstreamError(
                f"the switch batching is {shown(batching)}, expected one of {known}; correct it"
            )
        return self if batching is None else dataclasses.replace(self, batching=batching)


class Ge2eEncoder(nn.Module):
    """Waveforms in, the three layers' outputs out."""

    def __init__(self, config: Ge2eConfig) -> None:
        super().__init__()
        self.config = config
        # One by one: torch's own stack of layers gives the last one's output alone.
        self.layers = nn.ModuleList(nn.LSTM(size, WIDTH, batch_first=True) for size in (BANDS, WIDTH, WIDTH))

    def forward(self, wavs: Tensor, lengths: Sequence[int]) -> StudentOutput:
        """Every layer, [batch, frame, 256]; frames after an utterance's own repeat its last one.

        `wavs` are raw 16 kHz waveforms [batch, sample], zero-padded, and `lengths` each one's own samples;
        UpstreamError for an empty one.
        """
        if 0 in lengths:
            place = [*lengths].index(0)
            raise UpstreamError(f"utterance {place} of the batch has no samples, expected one; leave it out")
        counts = [1 + length // HOP for length in lengths]
        x = spectrum(wavs, lengths)[:, : max(counts)].to(next(self.parameters()).dtype)
        kept = repeated_last(devices.to_device(torch.tensor(counts), x.device), x.shape[1])
        states = []
        for lstm in self.layers:
            x, _ = lstm(x)
            states.append(repeat_last(x, kept))
        return StudentOutput(states, counts)


def spectrum(wavs: Tensor, lengths: Sequence[int]) -> Tensor:
    """[batch, sample] to mel bands of the power, not logarithmic, [batch, frame, 40], in at least fp32.

    Zeros stand before and after an utterance, as librosa from 0.10 on has it; so its padding in a batch
    changes none of its frames.
    """
    wavs = wavs.to(torch.promote_types(wavs.dtype, torch.float32))
    own = devices.to_device(torch.tensor(lengths), wavs.device)
    level = (wavs.square().sum(dim=1) / own).sqrt()
    gain = torch.where(level > 0, QUIET / level, 1.0).clamp_min(1.0)  # silence stays silent
    window = torch.hann_window(WINDOW, dtype=wavs.dtype, device=wavs.device)
    wavs = wavs * gain.unsqueeze(1)
    bins = torch.stft(wavs, WINDOW, HOP, window=window, center=True, pad_mode="constant", return_complex=True)
    power = torch.view_as_real(bins).square().sum(dim=3)
    return power.transpose(1, 2) @ devices.to_device(_filters(), wavs.device).to(wavs.dtype)


@functools.cache
def _filters() -> Tensor:
    """Slaney's mel filters, [bin, band]."""
    from torchaudio.functional import melscale_fbanks

    filters: Tensor = melscale_fbanks(
        WINDOW // 2 + 1, 0.0, SAMPLE_RATE / 2, BANDS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    return filters


def _weights(file: PeerFile, _: Ge2eConfig) -> dict[str, Tensor]:
    weights = student_weights(file.content["model_state"], file.path)
    return {key: weight for key, weight in weights.items() if key.startswith("lstm.")}


def _stored(name: str, _: Ge2eConfig) -> str:
    """`layers.1.weight_ih_l0` as the file's `lstm.weight_ih_l1`."""
    layer, weight = name.removeprefix("layers.").split(".")
    return f"lstm.{weight.removesuffix('0')}{layer}"


GE2E = Family("GE2E's speaker encoder", lambda _: Ge2eConfig(), Ge2eEncoder, _weights, _stored)
