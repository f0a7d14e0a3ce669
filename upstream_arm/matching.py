"""Which student a set of weights belongs to."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig
from upstream_arm.presets import PRESETS

if TYPE_CHECKING:
    from torch import Tensor

Shapes = dict[str, tuple[int, ...]]

_SHOWN = 3


@functools.cache
def expected_shapes(config: StudentConfig) -> Shapes:
    """Name and shape of every weight of a student; no memory is taken for them."""
    import torch

    from upstream_arm.student import Student

    with torch.device("meta"):
        return _shapes(Student(config).state_dict())


def _shapes(state: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def nearest_preset(state: Mapping[str, Tensor]) -> tuple[str, int]:
    """The preset whose weights differ least from these in name and shape, and in how many they differ.

    Presets of one shape (S models of several teachers and corpora) cannot be told apart; the first is named.
    """
    own = set(_shapes(state).items())
    # Missing, surplus and misshaped weights count alike, a misshaped one twice.
    distances = {name: len(own ^ set(expected_shapes(PRESETS[name]).items())) for name in PRESETS}
    name = min(distances, key=lambda preset: distances[preset])
    return name, distances[name]


def check_fit(state: Mapping[str, Tensor], config: StudentConfig, path: Path) -> None:
    """Make sure that the weights are exactly those of the configuration.

    UpstreamError names the first missing, surplus and misshaped weights and the preset that fits.
    """
    expected, own = expected_shapes(config), _shapes(state)
    problems = {
        "missing": [key for key in expected if key not in own],
        "unexpected": [key for key in own if key not in expected],
        "misshaped": [
            f"{key} is {own[key]}, expected {shape}"
            for key, shape in expected.items()
            if own.get(key, shape) != shape
        ],
    }
    if not any(problems.values()):
        return
    name, differing = nearest_preset(state)
    advice = f"they fit the preset {name}, so give its training yaml or choose {name}"
    if differing:
        advice = (
            f"no preset fits either (nearest is {name}, {differing} differences), so give the training yaml "
            "that the checkpoint was made with"
        )
    told = "; ".join(f"{label} {_first(items)}" for label, items in problems.items() if items)
    raise UpstreamError(f"the weights of {path} do not fit the student's configuration: {told}; {advice}")


def _first(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if items[_SHOWN:] else ""
    return ", ".join(items[:_SHOWN]) + more
