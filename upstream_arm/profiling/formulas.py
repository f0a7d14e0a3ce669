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

from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig
from upstream_arm.convolutions import conv_lengths, receptive_field


class FairseqHubert(StudentConfig):
    """The shape of fairseq's HuBERT, which is no student: convolutions of other channels than its width.

    SUPERB's tool counts 4Td + 4HT^2 a layer in its attention beside the products. Its published size includes
    `pretraining_head`, parameters that no feature passes through.
    """

    # A final projection 768 -> 256 and the embeddings of 504 cluster labels.
    pretraining_head = 768 * 256 + 256 + 504 * 256

    def __post_init__(self) -> None:
        """Without the checks of students."""


# arXiv 2106.07447, section IV-B, and fairseq's released checkpoint of 94,697,600 parameters.
HUBERT_BASE = FairseqHubert(
    conv_layers=((512, 10, 5), *((512, 3, 2),) * 4, *((512, 2, 2),) * 2),
    embed_dim=768,
    ffn_dim=3072,
    reuse_pattern=(True,) * 12,
    projection_dim=None,
)


def parameters(config: StudentConfig) -> dict[str, int]:
    """Number of trainable values by part of the model; their sum is the published size.

    `norms` holds the front end's GroupNorm and every LayerNorm, `projections` the post-extract projection
    and the per-layer ones with their biases.
    """
    width, ffn = config.embed_dim, config.ffn_dim
    convolutions, channels = 0, 1
    for out, kernel, _ in config.conv_layers:
        convolutions += channels * kernel * out
        channels = out
    computing = sum(config.reuse_pattern)
    projections = config.blocks * (width + 1) * config.projection_dim if config.projection_dim else 0
    if channels != width:
        projections += (channels + 1) * width
    parts = {
        "front_end": convolutions,
        # Weight norm: a magnitude for each of the kernel's positions beside the direction, and a bias.
        "positional_convolution": _taps(config) + config.conv_pos + width,
        # Value and output projections everywhere, query and key only where the map is computed.
        "attention": 2 * (config.blocks + computing) * (width + 1) * width,
        "feed_forward": config.blocks * (2 * width * ffn + ffn + width),
        # GroupNorm, the front end's LayerNorm, the encoder's, and two in each layer.
        "norms": 2 * config.conv_layers[0][0] + 2 * channels + 2 * width + config.blocks * 4 * width,
        "projections": projections,
        "mask_embedding": width,
    }
    if isinstance(config, FairseqHubert):
        parts["pretraining_head"] = config.pretraining_head
    return parts


def macs(config: StudentConfig, samples: int) -> dict[str, int]:
    """Multiply-accumulates by part of the model of one utterance of so many samples at 16 kHz.

    UpstreamError if it is too short for one frame.
    """
    convolutions, channels = 0, 1
    lengths = conv_lengths(samples, config.conv_layers)
    for (out, kernel, _), length in zip(config.conv_layers, lengths, strict=True):
        convolutions += length * kernel * channels * out
        channels = out
    time, width = lengths[-1], config.embed_dim
    if time < 1:
        first, _ = receptive_field(config.conv_layers)
        raise UpstreamError(
            f"an utterance of {samples} samples gives no frame, expected at least {first}; shorten "
            "conv_layers or take a longer utterance"
        )
    # Padding by half a kernel on both sides: an even kernel gives one frame too many.
    positions = time + 2 * (config.conv_pos // 2) - config.conv_pos + 1
    computing = sum(config.reuse_pattern) * (config.repeats or 1)
    attention = (config.layers + computing) * (2 * time * width**2 + time**2 * width)
    if isinstance(config, FairseqHubert):
        attention += config.layers * (4 * time * width + 4 * config.heads * time**2)
    projections = config.layers * time * width * (config.projection_dim or 0)
    if channels != width:
        projections += time * channels * width
    return {
        "front_end": convolutions,
        "positional_convolution": positions * _taps(config),
        "attention": attention,
        "feed_forward": config.layers * 2 * time * width * config.ffn_dim,
        "projections": projections,
    }


def _taps(config: StudentConfig) -> int:
    """The weights of the positional convolution."""
    return config.conv_pos * (config.embed_dim // config.conv_pos_groups) * config.embed_dim
