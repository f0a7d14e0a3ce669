"""Multiply-accumulates of one utterance in closed form.

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
from upstream_arm.convolutions import conv_lengths, receptive_field
from upstream_arm.profiling.architecture import Architecture


def count(architecture: Architecture, samples: int) -> dict[str, int]:
    """Multiply-accumulates of one utterance by part of the model.

    Args:
        architecture: the model's shape.
        samples: the utterance's length at 16 kHz.

    Raises:
        UpstreamError: if the utterance is too short for one frame.
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
        "positional_convolution": positions
        * architecture.conv_pos
        * (width // architecture.conv_pos_groups)
        * width,
        "attention": attention,
        "feed_forward": layers * 2 * time * width * architecture.ffn,
        "projections": projections,
    }
