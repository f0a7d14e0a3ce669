"""How a family's files are read: its shape, its model, its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from upstream_arm.peers.model import Peer


@dataclasses.dataclass(frozen=True)
class PeerFile:
    """What was given: a checkpoint, and a yaml beside it or none."""

    path: Path
    content: Mapping[str, Any]
    model_config: Path | None = None


@dataclasses.dataclass(frozen=True)
class Family:
    """A family of students.

    config: the shape that a file describes; UpstreamError for one that is another's.
    build: its model.
    weights: a file's weights by its own names, without those that no state needs.
    stored: the name in the file of a weight of the model.
    published_states: from which key and which layer of it, counted from 0, its published SUPERB row was made;
        None for the weighted sum over all.
    """

    label: str
    config: Callable[[PeerFile], Any]
    build: Callable[[Any], Peer]
    weights: Callable[[PeerFile, Any], Mapping[str, Tensor]]
    stored: Callable[[str], str] = str
    published_states: tuple[str, int | None] = ("hidden_states", None)
