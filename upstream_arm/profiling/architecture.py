"""The shape of a speech transformer as far as counting needs it: our students and HuBERT BASE."""

from __future__ import annotations

import dataclasses

from upstream_arm.config import ConvLayer, StudentConfig


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Shapes of a convolutional front end, a positional convolution and post-LN transformer layers.

    Attributes:
        conv_layers: (out channels, kernel, stride) of each convolution over the waveform, without bias;
            the first one is followed by a GroupNorm with one group a channel.
        width: d of the encoder; where the last convolution has other channels a linear projection follows.
        ffn: inner width of the feed-forward networks.
        heads: attention heads.
        conv_pos: kernel of the positional convolution, in frames.
        conv_pos_groups: its groups.
        computes_map: one entry a block, False where it reuses the last computed attention map; a block is
            a layer, unless the student is unfolded.
        projection: width of the linear projection of each layer's output, None for none.
        pretraining_head: parameters that no feature passes through but that the published size includes.
        fairseq_attention: count also the 4Td + 4HT^2 a layer that SUPERB's tool counts in fairseq's
            attention beside the products; its figure for HuBERT BASE includes them.
        repeats: how often each block runs: parameters count once, products in every run.
    """

    conv_layers: tuple[ConvLayer, ...]
    width: int
    ffn: int
    heads: int
    conv_pos: int
    conv_pos_groups: int
    computes_map: tuple[bool, ...]
    projection: int | None = None
    pretraining_head: int = 0
    fairseq_attention: bool = False
    repeats: int = 1

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
