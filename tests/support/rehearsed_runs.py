"""Runs of tasks on the pretend accelerator, and what their training steps and evaluated batches cost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import rehearsal
import torch

from downstream_runs import tasks
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.core.run import RunPlan
from downstream_runs.engine import components, finite, run, run_dir, train
from downstream_runs.engine.checkpoints import read_tensors
from downstream_runs.features.extractor import FeatureExtractor

OURS = ("downstream_runs/", "upstream_arm/")
"""How lines of ours begin, as the counts name them; s3prl's heads wait and copy by themselves."""


@dataclass
class Costs:
    """steps: each from its first batch to its new weights, without what is encoded to be stored. batches:
    evaluated ones, from their features on."""

    steps: list[rehearsal.Counts] = field(default_factory=list)
    batches: list[rehearsal.Counts] = field(default_factory=list)


@contextlib.contextmanager
def on_device() -> Iterator[Costs]:
    """Put runs on the pretend device."""
    costs, passes, update = Costs(), train.Trainer.backward, train.Trainer.update
    look, finish = finite.Watch.features, finite.Watch.finish
    name = "_of_step" if hasattr(FeatureExtractor, "_of_step") else "compute"
    encode = getattr(FeatureExtractor, name)
    open_batch = contextlib.ExitStack()

    def backward(trainer: Any, *batch: Any) -> None:
        with rehearsal.counting() as counts:
            passes(trainer, *batch)
        if not trainer.backwards % trainer.accumulated:
            costs.steps.append(rehearsal.Counts())
        costs.steps[-1].add(counts)

    def updated(trainer: Any) -> None:
        with rehearsal.counting() as counts:
            update(trainer)
        costs.steps[-1].add(counts)

    def encoded(extractor: Any, *given: Any) -> Any:
        with rehearsal.counting():
            return encode(extractor, *given)

    def features(watch: Any, *given: Any) -> None:
        costs.batches.append(open_batch.enter_context(rehearsal.counting()))
        look(watch, *given)

    def finished(watch: Any) -> None:
        finish(watch)
        open_batch.close()

    with contextlib.ExitStack() as stack:
        for owner, member, other in (
            (components, "pick_device", lambda name: rehearsal.DEVICE),
            (train.Trainer, "backward", backward),
            (train.Trainer, "update", updated),
            (FeatureExtractor, name, encoded),
            (finite.Watch, "features", features),
            (finite.Watch, "finish", finished),
        ):
            stack.enter_context(mock.patch.object(owner, member, other))
        stack.enter_context(rehearsal.counting())
        yield costs


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


def ours(counts: dict[str, int]) -> dict[str, int]:
    """Of waits or copies those that lines of ours caused; what the bridge does is done for s3prl's heads."""
    return {line: count for line, count in counts.items() if line.startswith(OURS) and "/bridge/" not in line}
