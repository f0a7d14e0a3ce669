"""The goldens of other papers' students."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import peer_files
from upstream_arm.expert import UpstreamExpert
from upstream_arm.peers.loading import load_peer


@pytest.fixture(scope="session")
def peer_wavs() -> list[torch.Tensor]:
    with np.load(peer_files.DATA / "inputs.npz") as arrays:
        return [torch.from_numpy(arrays[f"wav{i}"].astype(np.float32) / 32_768) for i in range(3)]


@pytest.fixture(scope="session")
def golden_peer(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., UpstreamExpert]:
    """Loads a golden's file as the command line would."""
    folder = tmp_path_factory.mktemp("peers")
    paths: dict[str, Path] = {}

    def load(golden: str, batching: str | None = None) -> UpstreamExpert:
        if golden not in paths:
            paths[golden] = peer_files.write(golden, folder)
        return load_peer(peer_files.GOLDENS[golden][0], paths[golden], batching=batching)

    return load
