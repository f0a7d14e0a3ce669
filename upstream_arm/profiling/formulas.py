"""Parameters and multiply-accumulates (MACs) of speech transformers in closed form, from their shapes.

Counted are matrix products and convolutions of a forward pass at batch size 1 with attention written out,
whatever faster equal computation a model uses; with d the width, f the feed-forward width, T the frames:

- a convolution: output length * kernel * in channels * out channels;
- post-extract projection (where there is one): T * channels * d;
- positional convolution: (T + 1) * kernel * (d / groups) * d, the frame that is cut off included;
- a layer that computes its attention map: 4 T d^2 + 2 T^2 d; one that reuses it: 2 T d^2 + T^2 d
  (equation 4 of the paper, arXiv 2305.11685, needs neither queries nor keys);
- a feed-forward network: 2 T d f; a layer's projection: T d * its width;
- every run of a block of an unfolded student is a layer.

Not counted: norms, activations, softmax (so neither the second one of the released code), biases and other
element-wise work. These are the terms that give the MACs of the paper's Table 2.
"""

from __future__ import annotations

import dataclasses

from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import ConvLayer, StudentConfig
from upstream_arm.convolutions import conv_lengths, receptive_field


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A convolutional front end, a positional convolution and post-LN transformer layers."""

    conv_layers: tuple[ConvLayer, ...]  # no bias; a GroupNorm with a group a channel follows the first
    width: int  # d; where the last convolution has other channels a linear projection follows
    ffn: int  # f
    heads: int
    conv_pos: int  # kernel of the positional convolution, in frames
    conv_pos_groups: int
    computes_map: tuple[bool, ...]  # by block: False where it reuses the last computed attention map
    projection: int | None = None  # width of each layer's linear projection, None for none
    pretraining_head: int = 0  # parameters of the published size that no feature passes through
    # SUPERB's tool counts 4Td + 4HT^2 a layer in fairseq's attention beside the products.
    fairseq_attention: bool = False
    repeats: int = 1  # runs of each block: parameters count once, products in every run

    @property
    def post_extract(self) -> bool:
        """Whether a linear projection takes the front end's channels to the encoder's width."""
        return self.conv_layers[-1][0] != self.width


def of_student(config: StudentConfig) -> Architecture:
    """The shape of one of our students."""
    return Architecture(
        conv_layers=config.conv_layers,
        width=config.embed_dim,
        ffn=config.ffn_dim,
        heads=config.heads,
        conv_pos=config.conv_pos,
        conv_pos_groups=config.conv_pos_groups,
        computes_map=config.reuse_pattern,
        projection=config.projection_dim,
        repeats=config.repeats or 1,
    )


# arXiv 2106.07447, section IV-B, and fairseq's released checkpoint: its 94,697,600 parameters include a
# final projection 768 -> 256 and the embeddings of 504 cluster labels, both used in pre-training only.
HUBERT_BASE = Architecture(
    conv_layers=((512, 10, 5), *((512, 3, 2),) * 4, *((512, 2, 2),) * 2),
    width=768,
    ffn=3072,
    heads=12,
    conv_pos=128,
    conv_pos_groups=16,
    computes_map=(True,) * 12,
    pretraining_head=768 * 256 + 256 + 504 * 256,
    fairseq_attention=True,
)


def parameters(architecture: Architecture) -> dict[str, int]:
    """Number of trainable values by part of the model; their sum is the published size.

    `norms` holds the front end's GroupNorm and every LayerNorm, `projections` the post-extract projection
    and the per-layer ones with their biases.
    """
    width, ffn = architecture.width, architecture.ffn
    convolutions, channels = 0, 1
    for out, kernel, _ in architecture.conv_layers:
        convolutions += channels * kernel * out
        channels = out
    layers, computing = len(architecture.computes_map), sum(architecture.computes_map)
    projections = layers * (width + 1) * architecture.projection if architecture.projection else 0
    if architecture.post_extract:
        projections += (channels + 1) * width
    taps = architecture.conv_pos * (width // architecture.conv_pos_groups) * width
    parts = {
        "front_end": convolutions,
        # Weight norm: a magnitude for each of the kernel's positions beside the direction, and a bias.
        "positional_convolution": taps + architecture.conv_pos + width,
        # Value and output projections everywhere, query and key only where the map is computed.
        "attention": 2 * (layers + computing) * (width + 1) * width,
        "feed_forward": layers * (2 * width * ffn + ffn + width),
        # GroupNorm, the front end's LayerNorm, the encoder's, and two in each layer.
        "norms": 2 * architecture.conv_layers[0][0] + 2 * channels + 2 * width + layers * 4 * width,
        "projections": projections,
        "mask_embedding": width,
    }
    head = architecture.pretraining_head
    return {**parts, "pretraining_head": head} if head else parts


def macs(architecture: Architecture, samples: int) -> dict[str, int]:
    """Multiply-accumulates by part of the model of one utterance of so many samples at 16 kHz.

    UpstreamError if it is too short for one frame.
    """
    convolutions, channels = 0, 1
    lengths = conv_lengths(samples, architecture.conv_layers)
    for (out, kernel, _), length in zip(architecture.conv_layers, lengths, strict=True):
        convolutions += length * kernel * channels * out
        channels = out
    time, width = lengths[-1], architecture.width
    if time < 1:
        first, _ = receptive_field(architecture.conv_layers)
        raise UpstreamError(
            f"an utterance of {samples} samples gives no frame, expected at least {first}; shorten "
            "conv_layers or take a longer utterance"
        )
    # Padding by half a kernel on both sides: an even kernel gives one frame too many.
    positions = time + 2 * (architecture.conv_pos // 2) - architecture.conv_pos + 1
    taps = architecture.conv_pos * (width // architecture.conv_pos_groups) * width
    layers = len(architecture.computes_map) * architecture.repeats
    computing = sum(architecture.computes_map) * architecture.repeats
    attention = (layers + computing) * (2 * time * width**2 + time**2 * width)
    if architecture.fairseq_attention:
        attention += layers * (4 * time * width + 4 * architecture.heads * time**2)
    projections = layers * time * width * (architecture.projection or 0)
    if architecture.post_extract:
        projections += time * channels * width
    return {
        "front_end": convolutions,
        "positional_convolution": positions * taps,
        "attention": attention,
        "feed_forward": layers * 2 * time * width * architecture.ffn,
        "projections": projections,
    }
