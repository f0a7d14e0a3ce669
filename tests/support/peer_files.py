"""Files as the authors of other papers' students write them, with weights that are made from their names."""

from __future__ import annotations

import ast
import json
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

DATA = Path(__file__).resolve().parents[1] / "data" / "peers"

# By golden: the entry that reads the file, its ending, the words that the weights' numbers are drawn from.
GOLDENS = {
    "dphubert": ("dphubert_local", "pth", "dphubert+final"),
    "dphubert_large": ("dphubert_local", "pth", "dphubert_large+final"),
    "dpwavlm": ("dpwavlm_local", "pth", "dpwavlm+final"),
    "starhubert": ("starhubert_local", "ckpt", "starhubert-tiny"),
    "starhubert_proj": ("starhubert_local", "ckpt", "starhubert-tiny_proj"),
    "fithubert": ("fithubert_local", "ckpt", "fithubert-tiny"),
    "distilhubert": ("distilhubert_local", "ckpt", "distilhubert-tiny"),
    "lighthubert": ("lighthubert_small_local", "pt", "lighthubert"),  # of full size: no smaller one can be
}


def weights(golden: str) -> OrderedDict[str, torch.Tensor]:
    """The golden's weights by the names in its authors' file."""
    tag = GOLDENS[golden][2]
    made = OrderedDict()
    for line in (DATA / f"{golden}.keys").read_text().splitlines():
        key, shape, _ = line.split("\t")
        made[key] = _drawn(tag, key.removeprefix("student_model."), ast.literal_eval(shape))
    if golden in (dummies := json.loads((DATA / "dummy_weight.json").read_text())):
        made["feature_extractor.dummy_weight"] = torch.tensor(dummies[golden])
    return made


def _drawn(tag: str, key: str, shape: tuple[int, ...]) -> torch.Tensor:
    z = np.random.RandomState(zlib.crc32(f"{tag}:{key}".encode())).standard_normal(shape)
    one_dimensional = len(shape) == 1
    if key.endswith("rel_attn_embed.weight"):
        value = z
    elif key.endswith("gru_rel_pos_const"):
        value = 1 + 0.3 * z
    elif key.endswith("weight_g"):
        value = 1 + 0.1 * z
    elif one_dimensional and key.endswith("weight"):
        value = 1 + 0.2 * z
    elif one_dimensional or key.endswith("bias"):
        value = 0.1 * z
    else:
        gain = 2 if key.endswith(("q_proj.weight", "k_proj.weight")) else 1.5 if "conv_layers" in key else 1
        fan = shape[1] if key == "output_layer.2.weight" else np.prod(shape[1:])
        value = gain * z / np.sqrt(fan)
    return torch.from_numpy(value.astype(np.float32))


def content(golden: str) -> dict[str, Any]:
    """What the authors' file of a golden holds."""
    state = weights(golden)
    config = DATA / f"{golden}.json"
    if golden.startswith("dp"):
        projections = {"0.weight": torch.zeros(32, 32), "0.bias": torch.zeros(32)}
        return {
            "state_dict": state,
            "config": json.loads(config.read_text()),
            "distill_linear_projs": projections,
        }
    if golden == "distilhubert":
        return {
            "Optimizer": {},
            "Step": 200_000,
            "Config": json.loads(config.read_text()),
            "Distiller": state,
        }
    if golden == "lighthubert":
        return {"cfg": {"model": json.loads(config.read_text())}, "model": state}
    settings = yaml.safe_load((DATA / f"{golden}.yaml").read_text())
    bait = torch.zeros(32)
    return {
        "epoch": 99,
        "global_step": 1234,
        "pytorch-lightning_version": "1.6.5",
        "state_dict": OrderedDict({"teacher_model.model.mask_emb": bait, **state}),
        "optimizer_states": [],
        "hyper_parameters": {"cfg": settings},
    }


def write(golden: str, folder: Path, **changes: Any) -> Path:
    """The golden's file in a folder, with other entries where they are given."""
    path = folder / f"{golden}.{GOLDENS[golden][1]}"
    torch.save({**content(golden), **changes}, path)
    return path
