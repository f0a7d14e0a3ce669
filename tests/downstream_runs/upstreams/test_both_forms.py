"""DistilHuBERT as its authors' file and as a folder of transformers: the same two layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import peer_files
from upstream_arm.peers.loading import load_peer


@pytest.mark.parametrize(("ours", "theirs"), [("exact", "exact"), ("released", "stock")])
def test_the_layers_are_equal(shared_dir: Path, tmp_path: Path, ours: str, theirs: str) -> None:
    pytest.importorskip("transformers")
    from upstream_arm.encoders.transformers_encoder import TransformersEncoder

    folder = shared_dir / "golden_peers" / "distilhubert" / "hf"
    encoder = TransformersEncoder(folder, batching=theirs).eval()
    path = peer_files.write("distilhubert", tmp_path)
    student = load_peer("distilhubert_local", path, batching=ours)
    with np.load(peer_files.DATA / "inputs.npz") as arrays:
        wavs = [torch.from_numpy(arrays[f"wav{i}"].astype(np.float32) / 32_768) for i in range(3)]
    with torch.no_grad():
        own, other = student(wavs)["hidden_states"], encoder(wavs)["hidden_states"]
    assert len(own) == 6 and len(other) == 3
    for index, frames in enumerate((24, 39, 65)):
        for layer in (1, 2):
            torch.testing.assert_close(
                own[layer][index, :frames], other[layer][index, :frames], atol=5e-5, rtol=0
            )
