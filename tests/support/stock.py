"""Trains with s3prl's own Runner: `python stock.py CONFIG.json OUT` writes scalars.json and end.pt there.

`python stock.py CONFIG.json OUT N` does so on N processes, as its distributed runs do. Two more arguments,
JSON objects, are what `toy.spoil` is given, and s3prl's options that are not at their defaults.
"""

from __future__ import annotations

import json
import os
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


def fork(count: int, store: Path) -> int:
    """Become one of `count` ranks, and return which."""
    rank = next((rank for rank in range(1, count) if os.fork() == 0), 0)
    group = torch.distributed.FileStore(str(store), count)
    torch.distributed.init_process_group("gloo", store=group, rank=rank, world_size=count)
    # It names a CUDA device, and there is none here.
    real = runner.DDP
    runner.DDP = lambda module, device_ids, **options: real(module, **options)
    return rank


def main(config_path: str, out: str, count: str = "1", spoiled: str = "{}", options: str = "{}") -> None:
    toy.spoil({int(batch): factor for batch, factor in json.loads(spoiled).items()})
    rank = fork(int(count), Path(out, "store")) if int(count) > 1 else 0
    runner.SummaryWriter = Writer
    config = json.loads(Path(config_path).read_text())
    config["runner"]["max_keep"] = 1
    defaults = dict(
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
        local_rank=rank,
        push_to_hf_hub=False,
    )
    args = Namespace(**{**defaults, **json.loads(options)})
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    trainer = runner.Runner(args, config)
    trainer.train()
    if rank:
        os._exit(0)
    Path(out, "scalars.json").write_text(json.dumps(Writer.lines))
    end = {
        "Featurizer": runner.get_model_state(trainer.featurizer.model),
        "Downstream": runner.get_model_state(trainer.downstream.model),
    }
    torch.save(end, Path(out, "end.pt"))


main(*sys.argv[1:])
