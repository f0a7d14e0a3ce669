"""Other papers' students by their published sizes.

`published` is what was printed, with its source. The shapes are facts of the authors' configurations, except
for those that nobody printed: a pruned model's shape is in its file alone, and it is not guessed here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import MappingProxyType

from upstream_arm.peers.distil import DistilConfig, DistilStudent
from upstream_arm.peers.fit import FitStudent
from upstream_arm.peers.light import LightStudent, subnet
from upstream_arm.peers.model import Peer, PeerConfig
from upstream_arm.presets import front_end


@dataclasses.dataclass(frozen=True)
class PeerPreset:
    """A published student: its size as printed, with the source, and its model where its shape is known."""

    published: str
    build: Callable[[], Peer] | None = None


def _fit() -> Peer:
    return FitStudent(
        PeerConfig(
            conv_layers=front_end(512),
            embed_dim=480,
            ffn_dim=480,
            reuse_pattern=(True,) * 12,
            projection_dim=768,
        )
    )


def _distil() -> Peer:
    plain = subnet(768)
    return DistilStudent(
        DistilConfig(
            conv_layers=plain.conv_layers, embed_dim=768, ffn_dim=3072, reuse_pattern=(True,) * 2, tasks=3
        )
    )


_CARD = "(pyf98/DPHuBERT on Hugging Face)"
_TABLE = "(arXiv 2305.17651, table 1)"
_STAR = "(the README of github.com/sungnyun/ARMHuBERT)"
PEER_PRESETS = MappingProxyType(
    {
        "dphubert": PeerPreset(f"23,585,946 parameters {_CARD} and 654.1 G MACs {_TABLE}"),
        "dpwavlm": PeerPreset(f"23,586,325 parameters {_CARD} and 589.2 G MACs {_TABLE}"),
        "starhubert_s": PeerPreset(f"14.1 M parameters {_STAR}"),
        "starhubert_xs": PeerPreset(f"9.39 M parameters {_STAR}"),
        "fithubert": PeerPreset(
            "22.49 M parameters (arXiv 2207.00555), 461,280 of them of an upsampler that nothing passes; "
            "FitW2V2's 31.63 M are the same model with the projections of all layers",
            _fit,
        ),
        "distilhubert": PeerPreset(
            "23.49 M parameters (SUPERB's leaderboard), which are those without the predictions", _distil
        ),
        "lighthubert_small": PeerPreset(
            "27.0 M parameters and 860.7 G MACs (SUPERB's leaderboard)", lambda: LightStudent(subnet(384))
        ),
        "lighthubert_base": PeerPreset("", lambda: LightStudent(subnet(640))),
    }
)
