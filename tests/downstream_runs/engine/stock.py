"""Trains with s3prl's own Runner: `python stock.py CONFIG.json OUT` writes scalars.json and end.pt there."""

from __future__ import annotations

import json
import random
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
import toy

toy.register()

from s3prl.downstream import runner  # noqa: E402 (only after the bridge)


class Writer:
    """Keeps what s3prl would write for TensorBoard."""

    lines: list[tuple[str, float, int]] = []  # noqa: RUF012

    def __init__(self, *args: object) -> None:
        pass

    def add_scalar(self, name: str, value: float, global_step: int) -> None:
        self.lines.append((name, float(value), global_step))

    def close(self) -> None:
        pass


def main(config_path: str, out: str) -> None:
    runner.SummaryWriter = Writer
    config = json.loads(Path(config_path).read_text())
    config["runner"]["max_keep"] = 1
    args = Namespace(
        mode="train",
        init_ckpt=None,
        upstream="toy",
        upstream_ckpt=None,
        upstream_model_config=None,
        upstream_refresh=False,
        upstream_trainable=False,
        upstream_feature_selection="hidden_states",
        upstream_layer_selection=None,
        upstream_feature_normalize=False,
        downstream="asr",
        downstream_variant=None,
        expdir=out,
        seed=1337,
        device="cpu",
        push_to_hf_hub=False,
    )
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    trainer = runner.Runner(args, config)
    trainer.train()
    Path(out, "scalars.json").write_text(json.dumps(Writer.lines))
    end = {
        "Featurizer": trainer.featurizer.model.state_dict(),
        "Downstream": trainer.downstream.model.state_dict(),
    }
    torch.save(end, Path(out, "end.pt"))


main(*sys.argv[1:])
