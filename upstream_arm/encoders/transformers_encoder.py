"""A speech encoder of transformers behind s3prl's upstream interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from upstream_arm.common import devices
from upstream_arm.common.errors import UpstreamError
from upstream_arm.convolutions import TOLERATED_FRAMES, receptive_field
from upstream_arm.encoders.transformers_folder import load, told
from upstream_arm.expert import prepare_all
from upstream_arm.student import SAMPLE_RATE, lengthened

BATCHINGS = ("exact", "stock")
PROBE_SECONDS = 3


@dataclass(frozen=True)
class EncoderFacts:
    """What an encoder is, from its files and one call.

    architecture: transformers' class. layers: its blocks. width: features of a frame. stride: samples from
    one frame to the next. sampling_rate: in Hz. normalises: whether each waveform is brought to mean 0 and
    variance 1. cnn_output_included: whether state 0 is what enters the first block, so that there is one
    state more than blocks (13 for BASE), as in s3prl's own entries. dtype: of the weights on disk; the
    arithmetic is fp32 whatever it is. shortest: samples that give a frame.
    """

    architecture: str
    layers: int
    width: int
    stride: int
    sampling_rate: int
    normalises: bool
    cnn_output_included: bool
    dtype: str
    shortest: int


class TransformersEncoder(nn.Module):
    """An encoder from a folder of transformers' save_pretrained: waveforms in, all hidden states out.

    Normalisation and features are those of the folder's feature extractor. The last state is what the encoder
    gives, after its last layer norm, as s3prl's own entries have it.

    batching: "exact" computes utterances of one length together and all others apart, so that features do
    not depend on batch mates; frames past an utterance's end repeat its last one. "stock" pads them into one
    batch with an attention mask, as s3prl's entries for transformers do.

    Raises UpstreamError for a folder that holds no whole speech encoder, for weights that are not finite, for
    code of the folder's own without `trust_remote_code`, and for an encoder whose frames are not those that
    its configuration promises.
    """

    def __init__(self, folder: Path, *, trust_remote_code: bool = False, batching: str = "exact") -> None:
        super().__init__()
        if batching not in BATCHINGS:
            raise UpstreamError(f"batching is {batching!r}, expected one of {', '.join(BATCHINGS)}")
        self.folder, self.batching = Path(folder), batching
        loaded = load(self.folder, trust_remote_code)
        self.model: Any = loaded.model
        self.extractor = loaded.extractor
        _without_dropped_layers(self.model)
        self.family = loaded.family
        with told(self.folder):
            steps = self.family.steps(self.model.config, self.extractor)
            self.shortest, self.stride = receptive_field([(0, kernel, step) for kernel, step in steps])
            self.facts = self._measured(loaded.dtype)

    @property
    def switches(self) -> dict[str, str]:
        """The setting that changes the arithmetic, for result files."""
        return {"batching": self.batching}

    def get_downsample_rates(self, key: str) -> int:
        """Samples from one frame to the next, whatever the key."""
        return self.stride

    def forward(self, wavs: Sequence[Tensor] | Tensor) -> dict[str, Any]:
        """The features of a batch of 16 kHz waveforms, each [sample].

        `hidden_states` is a list of [batch, frame, feature], and `last_hidden_state` the last of them.
        UpstreamError for an empty batch, or a waveform that is unusable or too short for a frame.
        """
        checked = prepare_all(wavs)
        if not checked:
            raise UpstreamError("the batch is empty, expected at least one waveform")
        for index, wav in enumerate(checked):
            if len(wav) < self.shortest:
                raise UpstreamError(
                    f"waveform {index} of the batch has {len(wav)} samples, expected at least "
                    f"{self.shortest}, one frame of {self.facts.architecture}: leave it out or pad it"
                )
        # Encoders of windows pad each utterance alike, whatever its mates.
        together = self.batching == "stock" and not self.family.windows
        states = self._encode(checked, return_attention_mask=True) if together else self._apart(checked)
        return {"hidden_states": states, "last_hidden_state": states[-1]}

    def _apart(self, wavs: Sequence[Tensor]) -> list[Tensor]:
        """All states, utterances of one length together."""
        places: dict[int, list[int]] = {}
        for place, wav in enumerate(wavs):
            places.setdefault(len(wav), []).append(place)
        groups = [self._alike([wavs[place] for place in group]) for group in places.values()]
        if len(groups) == 1:
            return groups[0]
        total = max(states[0].shape[1] for states in groups)
        order = torch.tensor([place for group in places.values() for place in group]).argsort()
        order = devices.to_device(order, wavs[0].device)
        return [
            torch.cat([lengthened(state, total) for state in layer])[order]
            for layer in zip(*groups, strict=True)
        ]

    def _alike(self, wavs: Sequence[Tensor]) -> list[Tensor]:
        """All states of equally long waveforms; those of windows are cut back to what is no padding."""
        if not self.family.windows:
            return self._encode(wavs)
        pieces = []
        for start in range(0, len(wavs[0]), self.extractor.n_samples):
            parts = [wav[start : start + self.extractor.n_samples] for wav in wavs]
            frames = -(-len(parts[0]) // self.stride)
            pieces.append([state[:, :frames] for state in self._encode(parts)])
        return [torch.cat(layer, dim=1) for layer in zip(*pieces, strict=True)]

    def _encode(self, wavs: Sequence[Tensor], **options: Any) -> list[Tensor]:
        """transformers' own two calls, and from their output each state [batch, frame, feature]."""
        weight = next(self.model.parameters())
        inputs = self.extractor(
            [wav.detach().float().cpu().numpy() for wav in wavs],
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            **{"padding": True, **self.family.options, **options},
        )
        inputs = {
            name: devices.to_device(value, weight.device).to(
                weight.dtype if value.is_floating_point() else value.dtype
            )
            for name, value in inputs.items()
        }
        output = self.model(**inputs, output_hidden_states=True)
        states = list(output.hidden_states)
        if output.last_hidden_state.shape == states[-1].shape:
            states[-1] = output.last_hidden_state  # after the last layer norm
        return states

    @torch.no_grad()
    def _measured(self, dtype: str) -> EncoderFacts:
        """The facts, from the configuration and from three seconds of noise."""
        samples = PROBE_SECONDS * SAMPLE_RATE
        noise = torch.randn(samples, generator=torch.Generator().manual_seed(0)) / 10
        name = type(self.model).__name__
        states = self._alike([noise])
        shapes = {tuple(state.shape[1:]) for state in states}
        if len(shapes) != 1:
            raise UpstreamError(
                f"{self.folder} holds {name}, whose hidden states have the shapes "
                f"{', '.join(map(str, sorted(shapes)))} (frames, features), expected one shape"
            )
        frames, width = shapes.pop()
        promised = round(samples / self.stride)
        if abs(frames - promised) >= TOLERATED_FRAMES:
            raise UpstreamError(
                f"{self.folder} holds {name}, which gives {frames} frames for {PROBE_SECONDS} s of audio, "
                f"expected {promised} at the {self.stride} samples a frame that its configuration promises: "
                "correct the strides there"
            )
        if not torch.isfinite(states[-1]).all():
            raise UpstreamError(f"{self.folder} holds {name}, whose features of noise are not finite")
        blocks = getattr(self.model.config, "num_hidden_layers", None)
        own = self.family.encoder is None and blocks == len(states)
        return EncoderFacts(
            architecture=name,
            layers=len(states) if own else len(states) - 1,
            width=width,
            stride=self.stride,
            sampling_rate=SAMPLE_RATE,
            normalises=bool(getattr(self.extractor, "do_normalize", False)),
            cnn_output_included=not own,
            dtype=dtype,
            shortest=self.shortest,
        )


def _without_dropped_layers(model: nn.Module) -> None:
    """No layers left out and no frames masked in training, so that there are as many states at each call."""
    for owner in (model.config, *model.modules()):
        for name in vars(owner):
            if name.endswith("layerdrop"):
                setattr(owner, name, 0.0)
            if name == "apply_spec_augment":
                setattr(owner, name, False)
