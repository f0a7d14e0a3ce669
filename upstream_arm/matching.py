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
    found = set(_shapes(state).items())
    # Missing, surplus and misshaped weights count alike, a misshaped one twice.
    distances = {name: len(found ^ set(expected_shapes(PRESETS[name]).items())) for name in PRESETS}
    name = min(distances, key=lambda preset: distances[preset])
    return name, distances[name]


def guess_config(state: Mapping[str, Tensor]) -> StudentConfig | None:
    """The configuration of the preset that these weights fit exactly, None if there is none."""
    name, differing = nearest_preset(state)
    return PRESETS[name] if not differing else None


def check_fit(state: Mapping[str, Tensor], config: StudentConfig, path: Path) -> None:
    """Make sure that the weights are exactly those of the configuration.

    Raises:
        UpstreamError: naming the first missing, surplus and misshaped weights and the preset that fits.
    """
    expected = expected_shapes(config)
    found = _shapes(state)
    missing = [key for key in expected if key not in found]
    surplus = [key for key in found if key not in expected]
    misshaped = [
        f"{key} is {found[key]}, expected {shape}"
        for key, shape in expected.items()
        if found.get(key, shape) != shape
    ]
    problems = [
        f"{label} {_first(items)}"
        for label, items in (("missing", missing), ("unexpected", surplus), ("misshaped", misshaped))
        if items
    ]
    if problems:
        raise UpstreamError(
            f"the weights of {path} do not fit the student's configuration: {'; '.join(problems)}; "
            f"{_advice(state)}"
        )


def _first(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if items[_SHOWN:] else ""
    return ", ".join(items[:_SHOWN]) + more


def _advice(state: Mapping[str, Tensor]) -> str:
    name, differing = nearest_preset(state)
    if not differing:
        return f"they fit the preset {name}, so give its training yaml or choose {name}"
    return (
        f"no preset fits either (nearest is {name}, {differing} differences), so give the training yaml that "
        "the checkpoint was made with"
    )
