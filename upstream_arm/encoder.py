"""The post-LN Transformer encoder with attention map reuse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upstream_arm import lean_frontend
from upstream_arm.attention import KEPT_MAP, Attention, AttentionMap, device_block
from upstream_arm.config import StudentConfig
from upstream_arm.frontend import PositionalConv, scale_gradient, widened


class EncoderLayer(nn.Module):
    """x = LN(x + attention(x)), then x = LN(x + fc2(GELU(fc1(x))))."""

    def __init__(self, config: StudentConfig, computes_map: bool) -> None:
        super().__init__()
        width = config.embed_dim
        self.self_attn = Attention(config, computes_map)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, config.ffn_dim)
        self.fc2 = nn.Linear(config.ffn_dim, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        self.activation_dropout = nn.Dropout(config.activation_dropout)

    def forward(
        self, x: Tensor, shared: AttentionMap | None, valid: Tensor | None, explicit: bool
    ) -> tuple[Tensor, AttentionMap | None]:
        """[batch, frame, width] to the same shape, and the map for the layers that follow."""
        attended, shared = self.self_attn(x, shared, valid, explicit)
        x = self.self_attn_layer_norm(widened(x + self.dropout(attended)))
        inner = self.activation_dropout(F.gelu(self.fc1(x)))
        return self.final_layer_norm(widened(x + self.dropout(self.fc2(inner)))), shared


class Encoder(nn.Module):
    """Positional convolution, LayerNorm and the layers; no LayerNorm at the end."""

    def __init__(self, config: StudentConfig, layers: Iterable[nn.Module] | None = None) -> None:
        """`layers` are other ones than those of the configuration, called in the same way."""
        super().__init__()
        self.pos_conv = nn.Sequential(PositionalConv(config))
        own = (EncoderLayer(config, computes) for computes in config.reuse_pattern)
        self.layers = nn.ModuleList(own if layers is None else layers)
        self.layer_norm = nn.LayerNorm(config.embed_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = config.heads
        self.softmaxes_twice = config.reuse_softmax == "double"
        self.layer_grad_scale = config.layer_grad_scale
        self.repeats = config.repeats or 1

    def forward(
        self,
        x: Tensor,
        valid: Tensor | None,
        explicit: bool,
        lean: bool = False,
        paths: Sequence[int] | None = None,
    ) -> list[list[Tensor]]:
        """Encode [batch, frame, width]: for each path the output of every layer, each of the same shape.

        Args:
            valid: [batch, frame] of bool, False for padding; None if nothing is padded.
            explicit: write the attention maps out.
            lean: one unpadded utterance on a CPU without gradients: take the shortest way for it.
            paths: for each path through the layers how often every block runs; None for one path with the
                configuration's `repeats`.
        """
        if lean:
            explicit = self.heads * x.shape[1] ** 2 <= KEPT_MAP
        elif self.softmaxes_twice and x.device.type != "cpu":
            # Layers that take a map over need not compute its rows again: 0.86 of the time on an H100 at 1 to
            # 60 s. It is one map and its second softmax that are held then, as large as one block each.
            explicit = explicit or self.heads * len(x) * x.shape[1] ** 2 <= device_block(x.device)
        x = self.place(x, valid, lean)
        return [self.path(x, valid, explicit, repeats) for repeats in paths or (self.repeats,)]

    def place(self, x: Tensor, valid: Tensor | None, lean: bool = False) -> Tensor:
        """What the first layer takes: positions added, padding set to 0 before."""
        if valid is not None:
            x = x * valid.unsqueeze(2)
        if lean:
            positions = lean_frontend.position(cast(PositionalConv, self.pos_conv[0]), x[0]).unsqueeze(0)
        else:
            positions = self.pos_conv(x)
        placed: Tensor = self.dropout(self.layer_norm(widened(x + positions)))
        return placed

    def path(self, x: Tensor, valid: Tensor | None, explicit: bool = False, repeats: int = 1) -> list[Tensor]:
        """The output of every layer, each block run so often; the arguments are those of `forward`."""
        shared: AttentionMap | None = None
        outputs: list[Tensor] = []
        layers = [layer for layer in self.layers for _ in range(repeats)]
        for index, layer in enumerate(layers, start=1):
            x, shared = layer(x, shared, valid, explicit)
            output = x
            remaining = len(layers) - index
            if self.layer_grad_scale and remaining and torch.is_grad_enabled():
                # The authors' gradient scaling (their layer_grad_scale): the share of the layers above
                # goes through x, the rest through this layer's own output.
                share = remaining / (remaining + 1)
                x = scale_gradient(x, share)
                output = scale_gradient(x, 1 - share)
            outputs.append(output)
        return outputs
