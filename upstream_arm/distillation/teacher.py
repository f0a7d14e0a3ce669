"""Frozen teachers: all layers of a speech model, for clean and masked input in one pass.

A teacher is a model of transformers built as wav2vec 2.0 is (HuBERT, wav2vec 2.0, WavLM and their
relatives): convolutions, a feature projection, an encoder of layers. Its convolutions do not see the mask,
so they run once, and the encoder takes clean and masked frames as one batch of twice the size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import ConvLayer
from upstream_arm.convolutions import frames
from upstream_arm.frontend import valid_frames


@dataclasses.dataclass(frozen=True)
class Targets:
    """A teacher's layers.

    Attributes:
        clean: of the clean input, each [batch, frame, feature].
        masked: of the masked input, likewise; None where no mask was given.
    """

    clean: list[Tensor]
    masked: list[Tensor] | None


class Teacher(Protocol):
    """What training needs of a teacher.

    Attributes:
        width: its features.
        layers: how many it has.
        maskable: whether it can take masks.
        labels: what has to be said of everything that is learnt from it.
    """

    width: int
    layers: int
    maskable: bool
    labels: tuple[str, ...]

    def __call__(self, wavs: Tensor, lengths: Sequence[int], mask: Tensor | None) -> Targets:
        """Compute the layers of [batch, sample] without gradients; mask is [batch, frame] of bool."""

    def to(self, device: torch.device) -> Any:
        """Move it."""


class TransformersTeacher(nn.Module):
    """A frozen model of transformers.

    Its waveforms are normalised (mean 0, variance 1 of each utterance) where its convolutions have layer
    norms, as wav2vec 2.0 trains such models; BASE models take them raw, as the authors' code gives them.
    Weights stored in half precision are taken to fp32, the type of the waveforms.

    Args:
        model: a HubertModel, Wav2Vec2Model, WavLMModel or one of the same parts.
        labels: see `Teacher`.

    Raises:
        UpstreamError: if the model is built differently.
    """

    def __init__(self, model: Any, labels: tuple[str, ...] = ()) -> None:
        super().__init__()
        parts = ("feature_extractor", "feature_projection", "encoder")
        if not all(hasattr(model, part) for part in parts) or not hasattr(model.encoder, "layers"):
            raise UpstreamError(
                f"the teacher is a {type(model).__name__}, expected a speech model with {', '.join(parts)} "
                "such as HubertModel, Wav2Vec2Model or WavLMModel; give one of those"
            )
        self.model: Any = model.eval().requires_grad_(False).float()
        config = self.model.config
        self.width = int(config.hidden_size)
        self.layers = len(self.model.encoder.layers)
        self.conv_layers: tuple[ConvLayer, ...] = tuple(
            zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True)
        )
        self.normalises = getattr(config, "feat_extract_norm", "group") == "layer"
        self.labels = labels
        self.maskable = hasattr(model, "masked_spec_embed")

    def train(self, mode: bool = True) -> TransformersTeacher:
        """A teacher is always in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, wavs: Tensor, lengths: Sequence[int], mask: Tensor | None) -> Targets:
        """See `Teacher`."""
        features = self._features(wavs, lengths)
        counts = [frames(length, self.conv_layers) for length in lengths]
        valid = valid_frames(counts, features.shape[1], features.device)
        if mask is not None:
            embedding = self.model.masked_spec_embed.to(features.dtype)
            features = torch.cat([features, torch.where(mask.unsqueeze(2), embedding, features)])
            valid = torch.cat([valid, valid])
        with _recorded(self.model.encoder.layers) as outputs:
            # The encoder writes zeros over padded frames in place: `features` is ours to give away.
            self.model.encoder(features, attention_mask=valid if min(counts) < features.shape[1] else None)
        if mask is None:
            return Targets(outputs, None)
        halves = [output.chunk(2) for output in outputs]
        return Targets([clean for clean, _ in halves], [masked for _, masked in halves])

    def _features(self, wavs: Tensor, lengths: Sequence[int]) -> Tensor:
        """[batch, frame, width], what a mask embedding would replace."""
        if self.normalises:
            wavs = torch.stack([_normalise(wav, length) for wav, length in zip(wavs, lengths, strict=True)])
        features = self.model.feature_extractor(wavs).transpose(1, 2)
        projected = self.model.feature_projection(features)
        # wav2vec 2.0 and WavLM return (projected, normalised).
        return cast(Tensor, projected[0] if isinstance(projected, tuple) else projected)


def _normalise(wav: Tensor, length: int) -> Tensor:
    own = F.layer_norm(wav[:length], (length,))
    return F.pad(own, (0, len(wav) - length))


@contextmanager
def _recorded(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """The output of each layer as it runs, first to last."""
    outputs: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


class UpstreamTeacher(nn.Module):
    """A frozen s3prl upstream: its hidden states as they come. It takes no masks.

    An upstream that also returns what enters its first layer (as s3prl's HuBERT does) has one hidden state
    more than layers; the last `layers` of them are used.
    """

    maskable = False

    def __init__(self, upstream: nn.Module, layers: int, labels: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.upstream = upstream.eval().requires_grad_(False).float()
        with torch.no_grad():
            probe = upstream([torch.zeros(16_000)])["hidden_states"]
        if len(probe) not in (layers, layers + 1):
            raise UpstreamError(
                f"the teacher has {len(probe)} hidden states, expected one for each of the {layers} layers "
                "of the student; give another teacher, or a student of as many layers (--model-config)"
            )
        self.layers = layers
        self.width = int(probe[-1].shape[2])
        self.labels = labels

    def train(self, mode: bool = True) -> UpstreamTeacher:
        """A teacher is always in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, wavs: Tensor, lengths: Sequence[int], mask: Tensor | None) -> Targets:
        """See `Teacher`."""
        assert mask is None, "asked for before: an s3prl upstream takes no masks"
        states = self.upstream([wav[:length] for wav, length in zip(wavs, lengths, strict=True)])
        return Targets(list(states["hidden_states"][-self.layers :]), None)
