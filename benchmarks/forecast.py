"""Count what stock s3prl asks of an accelerator with HuBERT BASE, for the tasks whose hours are published.

    python benchmarks/forecast.py

Writes downstream_runs/estimate/stock.json, by which `estimate --device-model` says how far its formula is
from published hours. Weights are random; counts do not depend on them. Decoding is measured on this machine.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from downstream_runs import bridge, tasks
from downstream_runs.bridge import heads
from downstream_runs.estimate import counted, forecast
from downstream_runs.upstreams.checked import CheckedUpstream


def hubert_base(folder: Path) -> CheckedUpstream:
    """s3prl's own HuBERT with the configuration of HuBERT BASE, which s3prl's classes have by default."""
    from s3prl.upstream.hubert import expert, hubert_model

    settings: dict[str, Any] = {"label_rate": 50.0}
    symbols = [[str(number) for number in range(504)]]
    task = hubert_model.HubertPretrainingConfig()
    model = hubert_model.HubertModel(hubert_model.HubertConfig(**settings), task, symbols)
    state = {
        "task_cfg": {"sample_rate": 16_000},
        "model_cfg": settings,
        "model_weight": model.state_dict(),
        "dictionaries_symbols": symbols,
    }
    torch.save(state, folder / "hubert.pt")
    return CheckedUpstream(expert.UpstreamExpert(str(folder / "hubert.pt")), "hubert")


def write(names: Sequence[str], path: Path) -> None:
    """Count these tasks' training and write the counts."""
    # Stock s3prl's own heads, without what the bridge spares them.
    vars(heads)["install"] = lambda after_import: None
    bridge.apply()
    with tempfile.TemporaryDirectory() as place:
        upstream = hubert_base(Path(place))
        found = counted.count(upstream, [tasks.get(name) for name in names], "superb", Path(place), tqdm)
    head = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    versions = ", ".join(f"{name} {version(name)}" for name in ("s3prl", "torch"))
    document = {
        "source": f"benchmarks/forecast.py at commit {commit}, {versions}",
        "upstream": "s3prl's HuBERT BASE, random weights, batches as stock s3prl pads them",
        "shape": dataclasses.asdict(found.shape),
        "tasks": {name: dataclasses.asdict(task) for name, task in found.tasks.items()},
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write([name for name in tasks.names() if tasks.get(name).cost.hours], forecast.STOCK)
