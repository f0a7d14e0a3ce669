"""What newer versions of installed packages no longer have, or no longer do, and s3prl relies on.

- numpy removed its aliases of Python's types in 1.24; s3prl's wav2vec 2.0, WavLM and LightHuBERT masks use
  them.
- huggingface_hub dropped `HfFolder` and `Repository` in 1.0, which s3prl imports by name.
- `torch.load` refuses code by default since 2.6. A checkpoint of s3prl's runner holds tensors, plain
  containers and one `argparse.Namespace` (key `Args`): exactly that class, which only carries attributes,
  joins torch's list of safe ones.
"""

from __future__ import annotations

from argparse import Namespace
from typing import NoReturn

import huggingface_hub
import numpy as np
import torch

from upstream_arm.common.errors import UsageError

_NUMPY: dict[str, type] = {"int": int, "float": float, "complex": complex}


class HfFolder:
    """The stored access token, through the functions that replaced this class."""

    @staticmethod
    def get_token() -> str | None:
        """The token of this user, or None."""
        return huggingface_hub.get_token()

    @staticmethod
    def save_token(token: str) -> None:
        """Check `token` with the hub and store it."""
        huggingface_hub.login(token=token)

    @staticmethod
    def delete_token() -> None:
        """Forget the stored token."""
        huggingface_hub.logout()


class Repository:
    """Stands where the git-based class was; it cannot be used."""

    def __init__(self, *arguments: object, **options: object) -> None:
        refuse_push()


def refuse_push() -> NoReturn:
    """Say why s3prl cannot upload an experiment any more."""
    raise UsageError(
        "s3prl's --push_to_hf_hub needs huggingface_hub's Repository class, which version 1.0 removed: "
        "run without it and upload the finished folder with `hf upload REPOSITORY FOLDER`"
    )


def install() -> None:
    """Supply the names that are absent, and allow `argparse.Namespace` in `torch.load(weights_only=True)`."""
    for name, kind in _NUMPY.items():
        if not hasattr(np, name):
            setattr(np, name, kind)
    for stand_in in (HfFolder, Repository):
        if not hasattr(huggingface_hub, stand_in.__name__):
            setattr(huggingface_hub, stand_in.__name__, stand_in)
    torch.serialization.add_safe_globals([Namespace])
