"""DPHuBERT and DPWavLM (arXiv 2305.17651): pruned in their channels, heads, widths and whole parts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upstream_arm.attention import Attention, AttentionMap
from upstream_arm.config import check_divisible, check_values, refuse
from upstream_arm.encoder import Encoder, EncoderLayer
from upstream_arm.frontend import FrontEnd
from upstream_arm.peers.model import Peer, PeerConfig


@dataclasses.dataclass(frozen=True)
class DPConfig(PeerConfig):
    """Shape of a pruned student; `heads` are those of the model that was pruned.

    For one layer alone, `heads` and `ffn_dim` are the layer's, and there is nothing by layer.
    """

    conv_norm: str = "group_norm"  # or layer_norm: after every convolution
    conv_bias: bool = False
    head_dim: int = 64
    kept_heads: tuple[tuple[int, ...], ...] = ()  # by layer, of all; none where the attention was pruned away
    ffn_dims: tuple[int, ...] = ()  # by layer; 0 where the feed-forward network was pruned away
    pre_norm: bool = False
    buckets: int | None = None  # of WavLM's relative positions; None for HuBERT
    max_distance: int = 800  # in frames, from which on positions are one bucket
    cnn_state: bool = True

    def __post_init__(self) -> None:
        """UpstreamError for values that no such student can have."""
        check_values(self)
        if self.conv_norm not in ("group_norm", "layer_norm"):
            refuse(self, "conv_norm", "group_norm or layer_norm")
        for name in ("conv_bias", "normalises", "pre_norm"):
            if not isinstance(getattr(self, name), bool):
                refuse(self, name, "true or false")
        if not self.kept_heads:
            return
        known = all(type(head) is int and 0 <= head < self.heads for kept in self.kept_heads for head in kept)
        if len(self.kept_heads) != self.blocks or not known:
            refuse(self, "kept_heads", f"a list of heads below {self.heads} for each of {self.blocks} layers")
        if len(self.ffn_dims) != self.blocks or any(type(ffn) is not int or ffn < 0 for ffn in self.ffn_dims):
            refuse(self, "ffn_dims", f"a width for each of {self.blocks} layers")
        if self.buckets is not None:
            self._check_positions(self.buckets)

    def _check_positions(self, buckets: int) -> None:
        check_divisible(self, "heads")
        if type(buckets) is not int or buckets < 4 or buckets % 2:
            refuse(self, "buckets", "an even number of at least 4")
        if type(self.max_distance) is not int or self.max_distance <= buckets // 4:
            refuse(self, "max_distance", f"more than {buckets // 4} frames")
        if not self.kept_heads[0]:
            refuse(self, "kept_heads", "a head in the first layer, which holds the positions of all others")

    @property
    def attention_width(self) -> int:
        """Width of queries, keys and values, all heads side by side."""
        return self.heads * self.head_dim


class LayerNormFrontEnd(FrontEnd):
    """Every convolution followed by a LayerNorm over its channels, so that padding changes nothing."""

    def __init__(self, config: DPConfig) -> None:
        super().__init__(config.conv_layers, config.conv_bias)
        for block, (width, _, _) in zip(self.conv_layers, config.conv_layers, strict=True):
            block.add_module("2", nn.LayerNorm(width))

    def forward(
        self, wavs: Tensor, lengths: Sequence[int], valid_only: bool, own: Tensor | None = None
    ) -> Tensor:
        """[batch, sample] to [batch, frame, channel]."""
        x = wavs.unsqueeze(1)
        for block in self.conv_layers:
            convolution, _, norm = block.children()
            x = F.gelu(norm(convolution(x).transpose(1, 2)).transpose(1, 2))
        return x.transpose(1, 2)


class GatedAttention(Attention):
    """WavLM's attention: a bias by relative position, the same in all layers, times a gate of each query.

    Bias and gate are computed for all heads of the model before pruning, then the kept ones are taken.
    """

    def __init__(self, config: DPConfig, kept: Sequence[int], total: int, first: bool) -> None:
        super().__init__(config, computes_map=True)
        assert config.buckets is not None
        self.kept, self.total = list(kept), total
        self.buckets, self.max_distance = config.buckets, config.max_distance
        self.gru_rel_pos_linear = nn.Linear(config.embed_dim // total, 8)
        self.gru_rel_pos_const = nn.Parameter(torch.ones(1, total, 1, 1))
        if first:
            self.rel_attn_embed = nn.Embedding(self.buckets, total)

    def forward(
        self, x: Tensor, shared: AttentionMap | None, valid: Tensor | None, explicit: bool
    ) -> tuple[Tensor, AttentionMap]:
        """As of `Attention`; what is handed on is the bias, [head, frame, frame]."""
        bias = self._bias(x.shape[1], x.device) if shared is None else shared.bias
        assert bias is not None
        gates = self.gru_rel_pos_linear(x.unflatten(2, (self.total, -1)).transpose(1, 2))
        first, second = gates.unflatten(3, (2, 4)).sum(4).sigmoid().chunk(2, dim=3)
        gate = first * (second * self.gru_rel_pos_const - 1) + 2  # [batch, head, query, 1]
        added = gate[:, self.kept] * bias[self.kept]
        if valid is not None:
            added = added.masked_fill(~valid[:, None, None, :], float("-inf"))
        attended = F.scaled_dot_product_attention(
            self._split(self.q_proj(x) * self.scale),
            self._split(self.k_proj(x)),
            self._split(self.v_proj(x)),
            attn_mask=added,
            dropout_p=self.dropout if self.training else 0.0,
            scale=1.0,
        )
        return self.out_proj(attended.transpose(1, 2).flatten(2)), AttentionMap(bias=bias)

    def _bias(self, length: int, device: torch.device) -> Tensor:
        places = torch.arange(length, device=device)
        table = position_buckets(places - places.unsqueeze(1), self.buckets, self.max_distance)
        bias: Tensor = self.rel_attn_embed(table).permute(2, 0, 1)
        return bias


def position_buckets(offsets: Tensor, buckets: int, max_distance: int) -> Tensor:
    """The bucket of each offset key - query, whole numbers of the same shape.

    Half of the buckets are for keys after the query. Of each half, the first half is a bucket an offset, the
    rest is logarithmic up to `max_distance`, and everything further is in the last.
    """
    half = buckets // 2
    exact = half // 2
    distance = offsets.abs()
    far = torch.log(distance.float() / exact) / math.log(max_distance / exact) * (half - exact)
    far = (exact + far.clamp(min=0).long()).clamp(max=half - 1)
    return (offsets > 0).long() * half + torch.where(distance < exact, distance, far)


class PrunedLayer(EncoderLayer):
    """A layer that may have lost its attention or its feed-forward network.

    In a post-LN model the lost part's LayerNorm is still applied. In a pre-LN model it does nothing.
    """

    def __init__(self, config: DPConfig, index: int) -> None:
        kept, ffn = config.kept_heads[index], config.ffn_dims[index]
        shape = dataclasses.replace(
            config, heads=len(kept) or 1, ffn_dim=ffn or 1, kept_heads=(), ffn_dims=()
        )
        super().__init__(shape, computes_map=True)
        self.pre_norm = config.pre_norm
        self.attends, self.feeds = bool(kept), bool(ffn)
        if not kept:
            del self.self_attn
        elif config.buckets is not None:
            self.self_attn = GatedAttention(shape, kept, config.heads, first=index == 0)
        if not ffn:
            del self.fc1, self.fc2

    def forward(
        self, x: Tensor, shared: AttentionMap | None, valid: Tensor | None, explicit: bool
    ) -> tuple[Tensor, AttentionMap | None]:
        """As of `EncoderLayer`."""
        if self.attends:
            attended, shared = self.self_attn(
                self.self_attn_layer_norm(x) if self.pre_norm else x, shared, valid, explicit
            )
            x = x + self.dropout(attended)
        x = x if self.pre_norm else self.self_attn_layer_norm(x)
        if self.feeds:
            inner = self.fc1(self.final_layer_norm(x) if self.pre_norm else x)
            x = x + self.dropout(self.fc2(self.activation_dropout(F.gelu(inner))))
        return (x if self.pre_norm else self.final_layer_norm(x)), shared


class PrunedEncoder(Encoder):
    """Positional convolution and pruned layers; of a pre-LN model no exported state passes its LayerNorm."""

    def __init__(self, config: DPConfig) -> None:
        super().__init__(config, (PrunedLayer(config, index) for index in range(config.blocks)))
        self.pre_norm = config.pre_norm

    def place(self, x: Tensor, valid: Tensor | None, lean: bool = False) -> Tensor:
        """What the first layer takes."""
        if not self.pre_norm:
            return super().place(x, valid, lean)
        placed: Tensor = self.dropout(x + self.pos_conv(x))
        return placed


class DPStudent(Peer):
    """A pruned student; `dummy_weight` holds the soft mask of the last convolution's channels."""

    def __init__(self, config: DPConfig) -> None:
        layers = config.conv_layers
        own = config.conv_norm == "layer_norm"
        front_end = LayerNormFrontEnd(config) if own else FrontEnd(layers, config.conv_bias)
        super().__init__(config, front_end, PrunedEncoder(config))
        self.dummy_weight = nn.Parameter(torch.ones(layers[-1][0]))

    def convolve(self, wavs: Tensor, lengths: Sequence[int], own: Tensor | None = None) -> Tensor:
        """[batch, sample] to [batch, frame, channel]."""
        return super().convolve(wavs, lengths, own) * self.dummy_weight
