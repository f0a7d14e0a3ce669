"""The golden student and small random ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from upstream_arm.config import StudentConfig
from upstream_arm.config_yaml import load_yaml
from upstream_arm.presets import front_end
from upstream_arm.student import Student


@pytest.fixture(scope="session")
def golden_dir(data_dir: Path) -> Path:
    return data_dir / "golden_tiny"


@pytest.fixture(scope="session")
def golden_student(golden_dir: Path) -> Callable[..., Student]:
    """Builds the golden student with the given switches."""
    config = load_yaml(golden_dir / "tiny.yaml")
    weights = load_file(golden_dir / "weights.safetensors")

    def build(**switches: str) -> Student:
        student = Student(config.replace(**switches)).eval()
        student.load_state_dict(weights, strict=True)
        return student

    return build


@pytest.fixture(scope="session")
def golden_wavs(golden_dir: Path) -> list[torch.Tensor]:
    with np.load(golden_dir / "inputs.npz") as arrays:
        return [torch.from_numpy(arrays[f"wav{i}"]) for i in range(3)]


@pytest.fixture(scope="session")
def golden_outputs(golden_dir: Path) -> dict[str, torch.Tensor]:
    with np.load(golden_dir / "outputs.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="session")
def small_config() -> StudentConfig:
    """The paper's front end and depth, narrow."""
    return StudentConfig(
        conv_layers=tuple((min(out, 48), kernel, stride) for out, kernel, stride in front_end(48)),
        embed_dim=48,
        ffn_dim=64,
        heads=4,
        reuse_pattern=(True, False, False, True, False, True),
        projection_dim=40,
        conv_pos=16,
        conv_pos_groups=4,
    )
