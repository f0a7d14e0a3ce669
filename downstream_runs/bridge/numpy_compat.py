"""Names that numpy removed in 1.24 and that s3prl's wav2vec 2.0, WavLM and LightHuBERT masks still use."""

from __future__ import annotations

import numpy as np

_REMOVED: dict[str, type] = {"int": int, "float": float, "complex": complex}


def install() -> None:
    """Give numpy these aliases of Python's own types back, as they were."""
    for name, kind in _REMOVED.items():
        if not hasattr(np, name):
            setattr(np, name, kind)
