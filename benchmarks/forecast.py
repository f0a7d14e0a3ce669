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
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from downstream_runs import bridge, tasks
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


def main() -> None:
    """Count, and write."""
    bridge.apply()
    published = [task for task in map(tasks.get, tasks.names()) if task.cost.hours]
    with tempfile.TemporaryDirectory() as place:
        upstream = hubert_base(Path(place))
        found = counted.count(upstream, published, "superb", Path(place), tqdm)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    versions = ", ".join(f"{name} {version(name)}" for name in ("s3prl", "torch"))
    document = {
        "source": f"benchmarks/forecast.py at commit {commit.stdout.strip()}, {versions}",
        "upstream": "s3prl's HuBERT BASE, random weights, batches as stock s3prl pads them",
        **dataclasses.asdict(found),
    }
    forecast.STOCK.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for check in forecast.checks(found.operation):
        print(f"{check.task.name}: {check.formula:.2f} h, published {check.task.cost.hours} h")


if __name__ == "__main__":
    main()
