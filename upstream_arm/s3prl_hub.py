"""Adds this package's upstreams to `s3prl.hub`, without changing a file of s3prl.

`import upstream_arm.s3prl_hub` is enough; then `s3prl.hub.arm_hubert_local(ckpt=…)`,
`s3prl.nn.S3PRLUpstream("arm_hubert")` and `run_downstream.py -u arm_hubert` find them.
"""

from __future__ import annotations

from upstream_arm import hub as _entries
from upstream_arm.names import names


def register() -> None:
    """Add every entry of `upstream_arm.hub` to `s3prl.hub`.

    Raises:
        ImportError: if s3prl, or something that it needs, cannot be imported; `downstream_runs.bridge`
            makes s3prl 0.4.18 importable on today's torchaudio.
    """
    import s3prl.hub

    for name in names():
        setattr(s3prl.hub, name, getattr(_entries, name))


register()
