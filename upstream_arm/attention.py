"""Self-attention whose map may serve later layers (the paper's section 3.1, ReuseMHSA).

Two implementations with equal outputs:

- explicit: writes the [batch, head, frame, frame] map out and hands it on. It alone can do the
  `released` batching, which moves maps between utterances.
- without the map: hands on the scaled queries and the keys. A single softmax is then ordinary fused
  attention, and the double softmax is computed block by block, recomputing the map's rows.

The double softmax is what the released code does: a reusing layer applies softmax to the map (already
probabilities) again, so that with map p its weights are exp(p_ij) / sum_j exp(p_ij).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upstream_arm.common import devices
from upstream_arm.config import StudentConfig

# Scores held at once by the blocked double softmax. On a CPU a block should stay in the core's own cache; on
# an accelerator it should fill the device and leave most of its memory free: 256 MiB in fp32 on one of 80 GB.
CPU_BLOCK = 1 << 18
SHARE = 320
UNKNOWN = 8 << 30  # bytes, where torch does not tell an accelerator's memory
# Up to so many entries (16 MiB) a CPU is faster with the map kept than with its rows computed again.
KEPT_MAP = 1 << 22


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """What a computing layer hands on: the map itself, or what it can be computed from again."""

    weights: Tensor | None = None  # after softmax and before dropout, [batch, head, frame, frame]
    queries: Tensor | None = None  # scaled, [batch, head, frame, head width], where there is no map
    keys: Tensor | None = None  # of the same shape
    bias: Tensor | None = None  # instead of all these, WavLM's by position, [head, frame, frame]


class Attention(nn.Module):
    """Multi-head self-attention that computes its own map, or takes the one of an earlier layer."""

    def __init__(self, config: StudentConfig, computes_map: bool) -> None:
        super().__init__()
        width, inner = config.embed_dim, config.attention_width
        self.heads = config.heads
        self.computes_map = computes_map
        self.softmaxes_twice = config.reuse_softmax == "double"
        self.mixes_heads = config.batching == "released"
        self.dropout = config.attention_dropout
        if computes_map:
            self.k_proj = nn.Linear(width, inner)
            self.q_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)
        self.scale = (inner // config.heads) ** -0.5

    def forward(
        self, x: Tensor, shared: AttentionMap | None, valid: Tensor | None, explicit: bool
    ) -> tuple[Tensor, AttentionMap]:
        """Attend: [batch, frame, width] to the same shape, and the map for the layers that follow.

        `shared` is the map of the last computing layer; `valid` is [batch, frame] of bool, False for padding,
        None if nothing is padded; `explicit` has the maps written out.
        """
        values = self._split(self.v_proj(x))
        if self.computes_map:
            queries = self._split(self.q_proj(x) * self.scale)
            shared = AttentionMap(queries=queries, keys=self._split(self.k_proj(x)))
        assert shared is not None, "the first layer computes its map; StudentConfig checks it"
        if explicit:
            attended, shared = self._with_map(values, shared, valid)
        elif self.softmaxes_twice and not self.computes_map:
            assert shared.queries is not None and shared.keys is not None
            attended = double_softmax_attention(shared.queries, shared.keys, values, valid)
        else:
            assert shared.queries is not None and shared.keys is not None
            attended = F.scaled_dot_product_attention(
                shared.queries,
                shared.keys,
                values,
                attn_mask=None if valid is None else valid[:, None, None, :],
                dropout_p=self.dropout if self.training else 0.0,
                scale=1.0,
            )
        return self.out_proj(attended.transpose(1, 2).flatten(2)), shared

    def _split(self, x: Tensor) -> Tensor:
        """[batch, frame, width] to [batch, head, frame, head width]."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _with_map(
        self, values: Tensor, shared: AttentionMap, valid: Tensor | None
    ) -> tuple[Tensor, AttentionMap]:
        padding = None if valid is None else ~valid[:, None, None, :]
        if self.computes_map:
            assert shared.queries is not None and shared.keys is not None
            weights = _softmax(shared.queries @ shared.keys.transpose(2, 3), padding, in_place=True)
            handed_on = AttentionMap(weights=weights)
        else:
            assert shared.weights is not None
            handed_on, weights = shared, shared.weights
            if self.mixes_heads:
                # The released code views a [head, batch, ...] map as [batch * head, ...].
                weights = weights.transpose(0, 1).reshape(weights.shape)
            if self.softmaxes_twice:
                weights = _softmax(weights, padding)
        return F.dropout(weights, self.dropout, self.training).to(values.dtype) @ values, handed_on


def _softmax(scores: Tensor, padding: Tensor | None, in_place: bool = False) -> Tensor:
    """Softmax over keys in at least fp32, padded keys left out.

    `in_place` lets it write over the scores where nothing else, gradients included, needs them.
    """
    if padding is not None:
        scores = scores.masked_fill(padding, float("-inf"))
    dtype = torch.promote_types(scores.dtype, torch.float32)
    if in_place and dtype == scores.dtype and not torch.is_grad_enabled():
        return torch.softmax(scores, dim=-1, out=scores)
    return torch.softmax(scores, dim=-1, dtype=dtype)


def double_softmax_attention(queries: Tensor, keys: Tensor, values: Tensor, valid: Tensor | None) -> Tensor:
    """softmax(softmax(q k)) v without the [frame, frame] map: memory grows linearly with the frames.

    Blocks of query rows; every block's map is computed again from queries and keys.

    Scaled queries, keys and values are [batch, head, frame, head width], and so is what is returned; `valid`
    is [batch, frame] of bool or None, as in `Attention.forward`.
    """
    batch, heads, frames, _ = values.shape
    on_cpu = values.device.type == "cpu"
    block = CPU_BLOCK if on_cpu else device_block(values.device)
    rows = max(1, min(frames, block // (batch * heads * frames)))
    plain = on_cpu and queries.dtype == torch.float32 == values.dtype and not torch.is_grad_enabled()
    if plain and rows < frames:
        return _double_softmax_by_head(queries, keys, values, valid, max(1, min(frames, block // frames)))
    return _double_softmax_by_rows(queries, keys, values, valid, rows)


def device_block(device: torch.device) -> int:
    """How many scores an accelerator may hold at once."""
    return (devices.memory(device) or UNKNOWN) // (4 * SHARE)


def _double_softmax_by_head(
    queries: Tensor, keys: Tensor, values: Tensor, valid: Tensor | None, rows: int
) -> Tensor:
    """For a CPU: one head after another, so that its keys and values stay in the cache, in one buffer."""
    output = values.new_empty(values.shape)
    buffer = values.new_empty(rows, values.shape[2])
    for index, own in enumerate(zip(queries, keys, values, output, strict=True)):
        padding = None if valid is None else ~valid[index]
        for query, key, value, attended in zip(*own, strict=True):
            for part, target in zip(query.split(rows), attended.split(rows), strict=True):
                scores = torch.mm(part, key.T, out=buffer[: len(part)])
                for _ in range(2):
                    if padding is not None:
                        scores.masked_fill_(padding, float("-inf"))
                    torch.softmax(scores, dim=-1, out=scores)
                torch.mm(scores, value, out=target)
    return output


def _double_softmax_by_rows(
    queries: Tensor, keys: Tensor, values: Tensor, valid: Tensor | None, rows: int
) -> Tensor:
    """For few kernels: the same rows of all heads at once.

    As the inner map lies in [0, 1], the outer softmax needs no maximum, and its denominator comes out of the
    same matrix product as the numerator, from a column of ones beside the values.
    """
    batch, heads, frames, width = values.shape
    extended = torch.cat([values, values.new_ones(batch, heads, frames, 1)], dim=3)
    if valid is not None:
        # A padded key has inner weight 0, and exp(0) = 1 would let it in: blank its row here.
        extended = extended * valid[:, None, :, None]
    padding = None if valid is None else ~valid[:, None, None, :]
    transposed = keys.transpose(2, 3)
    outputs = []
    for start in range(0, frames, rows):
        inner = _softmax(queries[:, :, start : start + rows] @ transposed, padding, in_place=True)
        outer = (inner.exp() if torch.is_grad_enabled() else inner.exp_()).to(values.dtype)
        outputs.append(outer @ extended)
    total = torch.cat(outputs, dim=2)
    return total[..., :width] / total[..., width:]
