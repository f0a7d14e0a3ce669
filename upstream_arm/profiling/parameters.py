"""Parameters by part in closed form, from the shapes of the released students' state dict."""

from __future__ import annotations

from upstream_arm.profiling.architecture import Architecture


def count(architecture: Architecture) -> dict[str, int]:
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
    parts = {
        "front_end": convolutions,
        # Weight norm: a magnitude for each of the kernel's positions beside the direction, and a bias.
        "positional_convolution": architecture.conv_pos * (width // architecture.conv_pos_groups) * width
        + architecture.conv_pos
        + width,
        # Value and output projections everywhere, query and key only where the map is computed.
        "attention": 2 * (layers + computing) * (width + 1) * width,
        "feed_forward": layers * (2 * width * ffn + ffn + width),
        # GroupNorm, the front end's LayerNorm, the encoder's, and two in each layer.
        "norms": 2 * architecture.conv_layers[0][0] + 2 * channels + 2 * width + layers * 4 * width,
        "projections": projections,
        "mask_embedding": width,
    }
    if architecture.pretraining_head:
        parts["pretraining_head"] = architecture.pretraining_head
    return parts
