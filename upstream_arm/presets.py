"""The students of the paper, by name.

Widths from the authors' released yaml files and the paper's Table 2 (arXiv 2305.11685).
"""

from __future__ import annotations

from types import MappingProxyType

from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.words import near
from upstream_arm.config import ConvLayer, StudentConfig, reuse_pattern


def front_end(width: int) -> tuple[ConvLayer, ...]:
    """The nine convolutions of every student of the paper, ending in `width` channels.

    400 samples give the first frame, every further 320 samples one more: 50 frames a second at 16 kHz.
    """
    return ((128, 10, 5), (256, 1, 1), *((256, 3, 2),) * 4, (width, 1, 1), *((width, 2, 2),) * 2)


def _student(width: int, ffn: int, pattern: str) -> StudentConfig:
    return StudentConfig(
        conv_layers=front_end(width), embed_dim=width, ffn_dim=ffn, reuse_pattern=reuse_pattern(pattern)
    )


_SMALL = _student(432, 816, "2by6")

PRESETS = MappingProxyType(
    {
        "armhubert": _student(480, 864, "2by6"),
        "armhubert_s_960h": _SMALL,
        "armhubert_s_100h": _SMALL,
        "armwavlm_s_960h": _SMALL,
        "armwavlm_s_100h": _SMALL,
        "maskhubert": _student(480, 640, "none").replace(layer_grad_scale=False),
        # Table 2: the same width with other reuse patterns; "up" widens the feed-forward networks back
        # to the parameter count of 2by6.
        "table2_none": _student(432, 816, "none"),
        "table2_2by6": _SMALL,
        "table2_3by4": _student(432, 816, "3by4"),
        "table2_6by2": _student(432, 816, "6by2"),
        "table2_3by4_up": _student(432, 888, "3by4"),
        "table2_6by2_up": _student(432, 960, "6by2"),
        # STaRHuBERT (arXiv 2312.09040): MaskHuBERT's shape without projections. Its widths are not published;
        # these give its published 22.31 M parameters with 463.5 G MACs, and 26.63 M with 511.9 G.
        "starhubert": _student(432, 976, "none").replace(projection_dim=None, layer_grad_scale=False),
        "starhubert_l": _student(432, 1392, "none").replace(projection_dim=None, layer_grad_scale=False),
        # ARMHuBERT's widths unfolded, after the idea of arXiv 2505.21237: four blocks, three runs each, make
        # HuBERT BASE's twelve layers; the second and fourth block reuse maps. None was published.
        "unfolded": _student(480, 864, "[True, False] * 2").replace(repeats=3),
    }
)


def preset(name: str) -> StudentConfig:
    """The configuration of a preset; UpstreamError, which suggests the nearest, if there is none."""
    if name in PRESETS:
        return PRESETS[name]
    hint = near(name, PRESETS) or f"; expected one of {', '.join(PRESETS)}"
    raise UpstreamError(f"there is no student preset {name!r}{hint}")
