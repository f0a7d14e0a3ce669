"""The student: waveforms in, one hidden state per encoder layer out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from upstream_arm import lean_frontend
from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig
from upstream_arm.convolutions import frames, receptive_field
from upstream_arm.encoder import Encoder
from upstream_arm.frontend import FrontEnd, PositionalConv, is_plain, own_counts, valid_frames, widened

SAMPLE_RATE = 16_000


@dataclasses.dataclass(frozen=True)
class StudentOutput:
    """Features of a batch: one tensor a layer, each [batch, frame, feature].

    The features are as many as `projection_dim`, or `embed_dim` for a student without projections.
    """

    hidden_states: list[Tensor]
    frames: list[int]  # each utterance's own number; frames after them are padding
    # Likewise of an unfolded student's shallowest path, on which every block runs once, where asked for.
    shallow: list[Tensor] | None = None


class Projection(nn.Module):
    """A layer's linear map to the teacher's width."""

    def __init__(self, width: int, target: int) -> None:
        super().__init__()
        self.lin_proj = nn.Linear(width, target)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, frame, width] to [batch, frame, target]."""
        projected: Tensor = self.lin_proj(x)
        return projected


class Student(nn.Module):
    """MaskHuBERT, ARMHuBERT and their variants (arXiv 2305.11685), forward pass as released.

    `explicit` has attention maps written out even where a leaner path gives the same features, which is taken
    by default wherever `batching` is `exact`.
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.explicit = False
        width = config.embed_dim
        # Used by distillation only; here because checkpoints hold it.
        self.mask_emb = nn.Parameter(torch.empty(width).uniform_())
        self.feature_extractor = FrontEnd(config.conv_layers)
        self.layer_norm = nn.LayerNorm(width)
        self.dropout_input = nn.Dropout(config.dropout_input)
        self.encoder = Encoder(config)
        if config.projection_dim is not None:
            target = config.projection_dim
            self.proj_head = nn.ModuleList(Projection(width, target) for _ in range(config.blocks))
        self.encoder.apply(_initialise)

    def forward(
        self, wavs: Tensor, lengths: Sequence[int], mask: Tensor | None = None, shallowest: bool = False
    ) -> StudentOutput:
        """Compute every layer's features.

        With `batching="exact"` an utterance's features are those that it gets alone, and padded frames
        repeat its last one (s3prl asks for up to one frame more than there is, and takes it from the
        padding). With `batching="released"` they are the released code's, padded frames included.

        `wavs` are raw 16 kHz waveforms, not normalised, [batch, sample], zero-padded, and `lengths` each
        one's own samples; UpstreamError if one is too short for a frame. For distillation only are `mask`,
        [batch, frame] of bool, which has the front end's output replaced by `mask_emb` where it is True, and
        `shallowest`, which computes the shallowest path too.
        """
        counts = [frames(length, self.config.conv_layers) for length in lengths]
        check_lengths(lengths, counts, self.config)
        if mask is None and not shallowest and self._lean_path_serves(wavs):
            return self._one_by_one(wavs, lengths, counts)
        exact = self.config.batching == "exact"
        first = last = None
        if min(lengths) < wavs.shape[1]:
            first, last = own_counts(lengths, self.config.conv_layers, wavs.device)
        x = self.layer_norm(widened(self.feature_extractor(wavs, lengths, exact, first)))
        total = x.shape[1]
        valid = None if last is None or min(counts) == total else valid_frames(last, total, x.device)
        # Attention dropout acts on the map, so the blocked double softmax does not serve in training.
        drops = self.training and self.config.attention_dropout > 0
        mixes = not exact and len(wavs) > 1  # utterances' maps
        explicit = self.explicit or mixes or (drops and self.config.reuse_softmax == "double")
        # A compiler would write a loop over parts out anew for every length.
        explicit = explicit or torch.compiler.is_compiling()
        x = self.dropout_input(x)
        if mask is not None:
            x = torch.where(mask.unsqueeze(2), self.mask_emb.to(x.dtype), x)
        paths = (self.encoder.repeats, 1) if shallowest else None
        features = [self._project(outputs) for outputs in self.encoder(x, valid, explicit, paths=paths)]
        if exact and valid is not None and last is not None:
            kept = repeated_last(last, total)
            features = [[repeat_last(output, kept) for output in outputs] for outputs in features]
        return StudentOutput(features[0], counts, features[1] if shallowest else None)

    def count_frames(self, samples: int) -> int:
        """The frames of an utterance of so many samples, whatever its batch."""
        return frames(samples, self.config.conv_layers)

    def _project(self, outputs: list[Tensor]) -> list[Tensor]:
        """The layers of a path, each through its block's projection."""
        if self.config.projection_dim is None:
            return outputs
        runs = len(outputs) // self.config.blocks
        return [self.proj_head[index // runs](output) for index, output in enumerate(outputs)]

    def _lean_path_serves(self, wavs: Tensor) -> bool:
        """Whether `_one_by_one` gives the same features: plain inference in fp32 on a CPU."""
        recorded = self.training or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
        recorded = recorded or torch.compiler.is_compiling()
        alike = self.config.batching == "exact" or len(wavs) == 1
        served = wavs.device.type == "cpu" and wavs.dtype == torch.float32 == self.mask_emb.dtype
        return served and alike and not (recorded or self.explicit) and self._is_plain()

    def _is_plain(self) -> bool:
        """Whether the parts whose weights `_one_by_one` reads past their calls are as they were built."""
        position = self.encoder.pos_conv
        heads = cast(Sequence[Projection], self.proj_head if self.config.projection_dim is not None else ())
        return (
            self.feature_extractor.is_plain()
            and is_plain(position, nn.Sequential)
            and is_plain(position[0], PositionalConv)
            and all(is_plain(head, Projection) and is_plain(head.lin_proj, nn.Linear) for head in heads)
        )

    def _one_by_one(self, wavs: Tensor, lengths: Sequence[int], counts: list[int]) -> StudentOutput:
        """A batch utterance by utterance: nothing is padded, and activations stay in the cache."""
        width = self.config.projection_dim or self.config.embed_dim
        shape = len(counts), max(counts), width
        runs = self.config.repeats or 1
        results = [wavs.new_empty(shape) for _ in range(self.config.layers)]
        for index, (length, count) in enumerate(zip(lengths, counts, strict=True)):
            x = lean_frontend.convolve(self.feature_extractor, wavs[index, :length])
            outputs = self.encoder(self.layer_norm(x).unsqueeze(0), None, explicit=False, lean=True)[0]
            for layer, output in enumerate(outputs):
                own = results[layer][index, :count]
                if self.config.projection_dim is None:
                    own.copy_(output[0])
                else:
                    head: nn.Linear = cast(Projection, self.proj_head[layer // runs]).lin_proj
                    torch.addmm(head.bias, output[0], head.weight.T, out=own)
                results[layer][index, count:] = own[-1]
        return StudentOutput(results, counts)


def _initialise(module: nn.Module) -> None:
    """Encoder weights as BERT and HuBERT start them: normal with standard deviation 0.02, biases 0."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def repeated_last(counts: Tensor, total: int) -> Tensor:
    """For each of `total` frames the one that it repeats, [batch, frame]: itself, or the last of so many."""
    return torch.minimum(torch.arange(total, device=counts.device), counts.unsqueeze(1) - 1)


def repeat_last(x: Tensor, kept: Tensor) -> Tensor:
    """[batch, frame, feature] with the frames after each row's own repeating its last, as `repeated_last`."""
    return x.gather(1, kept.unsqueeze(2).expand(-1, -1, x.shape[2]))


def lengthened(state: Tensor, frames: int) -> Tensor:
    """`[batch, frame, feature]` with its last frame repeated up to so many."""
    return torch.cat([state, state[:, -1:].expand(-1, frames - state.shape[1], -1)], dim=1)


def check_lengths(lengths: Sequence[int], counts: Sequence[int], config: StudentConfig) -> None:
    """UpstreamError for an empty batch, or an utterance of which no frame comes."""
    if counts and min(counts) > 0:
        return
    if not counts:
        raise UpstreamError("the batch is empty, expected at least one waveform")
    needed, _ = receptive_field(config.conv_layers)
    index = next(i for i, count in enumerate(counts) if count < 1)
    raise UpstreamError(
        f"utterance {index} of the batch has {lengths[index]} samples, expected at least {needed} "
        f"({1000 * needed / SAMPLE_RATE:.0f} ms at 16 kHz); leave it out or lengthen it"
    )
