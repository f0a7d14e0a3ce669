"""Adds this package's upstreams to `s3prl.hub`, without changing a file of s3prl.

`import upstream_arm.s3prl_hub` is enough; then `s3prl.hub.arm_hubert_local(ckpt=…)`,
`s3prl.nn.S3PRLUpstream("arm_hubert")` and `run_downstream.py -u arm_hubert` find them.
"""

from __future__ import annotations

import importlib.metadata
import types

from upstream_arm import hub as _entries
from upstream_arm.names import names

# Installed packages that make s3prl importable name a function in this entry point group; this package
# knows none of them by name.
GROUP = "upstream_arm.before_s3prl"


def load() -> types.ModuleType:
    """s3prl's hub, after what installed packages do to make s3prl importable.

    ImportError if it cannot be: s3prl 0.4.18 alone cannot be beside torchaudio 2.11; this project's
    `downstream_runs.bridge`, installed with it, helps.
    """
    for point in importlib.metadata.entry_points(group=GROUP):
        point.load()()
    import s3prl.hub

    module: types.ModuleType = s3prl.hub
    return module


def register() -> None:
    """Add every entry of `upstream_arm.hub` to `s3prl.hub`; ImportError as `load`."""
    hub = load()
    for name in names():
        setattr(hub, name, getattr(_entries, name))


register()
