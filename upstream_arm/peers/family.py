"""How a family's files are read: its shape, its model, its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from upstream_arm.checkpoint import check_agreement, training_settings
from upstream_arm.common.errors import UpstreamError, about
from upstream_arm.config_yaml import load_yaml
from upstream_arm.peers.model import PeerConfig


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
    stored: the name in the file of a weight of the model, given the shape.
    published_states: from which key and which layer of it, counted from 0, its published SUPERB row was made;
        None for the weighted sum over all.
    """

    label: str
    config: Callable[[PeerFile], Any]
    build: Callable[[Any], nn.Module]
    weights: Callable[[PeerFile, Any], Mapping[str, Tensor]]
    stored: Callable[[str, Any], str] = lambda name, _: name
    published_states: tuple[str, int | None] = ("hidden_states", None)


def training_config(file: PeerFile, read: Callable[[Mapping[str, Any]], PeerConfig]) -> PeerConfig:
    """The shape by the training yaml that was given, or that a Lightning file holds.

    UpstreamError if there is none, or the two are of different models.
    """
    block = training_settings(file.content)
    with about(file.path):
        carried = None if block is None else read(block)
    if file.model_config is None:
        if carried is None:
            raise UpstreamError(
                f"{file.path} does not hold its training yaml; give the one that its authors gave beside it "
                "(--model-config FILE, s3prl: -g FILE)"
            )
        return carried
    given = cast(PeerConfig, load_yaml(file.model_config, {"distiller": read}))
    if carried is not None:
        check_agreement(carried, given, str(file.model_config), file.path)
    return given
