"""Lets `torch.load` read s3prl's own checkpoints while it goes on refusing code.

A checkpoint of s3prl's runner holds tensors, plain containers and one `argparse.Namespace` (key `Args`).
Exactly that class, which only carries attributes, joins torch's list of safe ones.
"""

from __future__ import annotations

from argparse import Namespace

import torch


def install() -> None:
    """Allow `argparse.Namespace` in `torch.load(weights_only=True)`, torch's default since 2.6."""
    torch.serialization.add_safe_globals([Namespace])
