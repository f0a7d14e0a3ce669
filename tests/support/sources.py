"""Upstreams from each kind of source, small and random: a hub's, a folder's, a file's, a package's."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

CODE = """
import pytest
import torch
from torch import nn
import helper_of_mine

class Frames(nn.Module):
    switches = {"batching": "exact"}

    def __init__(self, width=8, scale=1.0, ckpt=None):
        super().__init__()
        self.linear = nn.Linear(320, width)
        self.scale = scale
        if ckpt is not None:
            self.load_state_dict(torch.load(ckpt, weights_only=True))

    def get_downsample_rates(self, key):
        return 320

    def forward(self, wavs):
        frames = nn.utils.rnn.pad_sequence(wavs, batch_first=True).unfold(1, 320, 320)
        return {"hidden_states": [helper_of_mine.change(self.linear(frames)) * self.scale]}

def make(width=8, **options):
    return Frames(width)

def broken():
    raise ValueError("no such weights")

number = 3
"""
HELPER = "def change(frames):\n    return frames.tanh()\n"
TINY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def model(folder: Path, kind: str = "hubert", seed: int = 0) -> Path:
    """A model of transformers with random weights, as `save_pretrained` writes it."""
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed (the extra `hf`)"
    )
    torch.manual_seed(seed)
    made = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **TINY))
    made.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def code(folder: Path) -> Path:
    """A file with a class `Frames` and a function `make`, and the file that it imports."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "helper_of_mine.py").write_text(HELPER)
    file = folder / "mine.py"
    file.write_text(CODE)
    return file


def plugin(folder: Path) -> Path:
    """An installed package that names the upstream `plugged`; `folder` is to be on Python's path."""
    about = folder / "plugged_package-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[superb.upstreams]\nplugged = plugged_package:make\n")
    (folder / "plugged_package.py").write_text(CODE.replace("helper_of_mine", "plugged_helper"))
    (folder / "plugged_helper.py").write_text(HELPER)
    return folder


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
