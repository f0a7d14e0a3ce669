"""A student of the project, small and random, as s3prl's upstream `small_student`."""

from __future__ import annotations

from upstream_arm.config import StudentConfig
from upstream_arm.expert import UpstreamExpert, from_seed
from upstream_arm.presets import front_end

SMALL = StudentConfig(
    conv_layers=tuple((min(out, 16), kernel, stride) for out, kernel, stride in front_end(16)),
    embed_dim=16,
    ffn_dim=16,
    heads=2,
    reuse_pattern=(True, False, True, True),
    projection_dim=24,
    conv_pos=16,
    conv_pos_groups=4,
)


def build(batching: str = "exact") -> UpstreamExpert:
    """The student in evaluation mode, of the same weights each time."""
    return from_seed(SMALL, batching=batching).eval()  # type: ignore[arg-type]


def register() -> None:
    """Make it s3prl's upstream `small_student`."""
    from downstream_runs import bridge

    bridge.apply()
    import s3prl.hub

    s3prl.hub.small_student = lambda **kwargs: build()
