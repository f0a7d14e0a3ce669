"""Short runs of demo tasks on the toy upstream, and what they leave, for runs on two devices."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from downstream_runs import tasks
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.core.run import RunPlan
from downstream_runs.engine import run, run_dir
from downstream_runs.engine.checkpoints import read_tensors


def plan(name: str, data: Path, out: Path, mode: str = "off", steps: int = 2) -> RunPlan:
    """A short training of a demo task on the toy upstream, logged, evaluated and saved at its last step.

    The optimizer's steps are one kernel, as they are on a device: the CPU rounds them otherwise without that.
    """
    task = tasks.get(name)
    places = ("total_steps", "eval_step", "save_step", "log_step") if task.train_split else ()
    changes: dict[str, Any] = {f"runner.{place}": steps for place in places}
    if task.train_split:
        changes["optimizer.fused"] = True
    return RunPlan(
        task,
        "demo",
        "toy",
        data,
        out,
        device="cpu",
        overrides=changes,
        features=FeatureOptions(mode=mode),
        fold=task.folds[0] if task.folds else None,
    )


@dataclass
class Outcome:
    """What a run left: `numbers` of its journal and result, `files` of predictions, `weights` by name."""

    numbers: list[Any]
    files: dict[str, str]
    weights: dict[str, torch.Tensor]


def outcome(wanted: RunPlan) -> Outcome:
    """Do the run."""
    result = run(wanted)
    folder = run_dir(wanted)
    numbers: list[Any] = [[one.name, one.split, one.value, dict(one.counts)] for one in result.metrics]
    if (folder / "metrics.jsonl").exists():
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        numbers += [
            [line["split"], line["step"], line["scalars"], line.get("layer_weights")] for line in lines
        ]
    files = {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".ark", ".csv") or ("predict" in path.name and path.suffix == ".txt")
    }
    states = [read_tensors(path) for path in sorted(folder.rglob("*.ckpt"))]
    weights = {
        f"{number} {part} {key}": tensor
        for number, state in enumerate(states)
        for part in ("Featurizer", "Downstream")
        for key, tensor in state[part].items()
    }
    return Outcome(numbers, files, weights)


def differences(one: Outcome, other: Outcome) -> list[str]:
    """What of a run is not as in another, bit by bit."""
    found = [] if one.numbers == other.numbers else [f"{one.numbers} and {other.numbers}"]
    found += [name for name in one.files | other.files if one.files.get(name) != other.files.get(name)]
    if one.weights.keys() != other.weights.keys():
        return [*found, f"{one.weights.keys() ^ other.weights.keys()}"]
    return found + [key for key, weight in one.weights.items() if not torch.equal(weight, other.weights[key])]
