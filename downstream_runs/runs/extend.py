"""`extend`: a finished run goes on to more steps, as if it had had that many from the start."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from downstream_runs import engine
from downstream_runs.core import records
from downstream_runs.core.results import Result
from downstream_runs.core.run import RunPlan, config_hash, resolve_config, run_dir
from downstream_runs.core.run_folder import EVENTS, METRICS, PLAN, RunFolder, sha256_record
from downstream_runs.core.settings import STEPS, leaves
from downstream_runs.engine.checkpoints import read_tensors
from downstream_runs.engine.optimization import make_scheduler
from upstream_arm.common import lock
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_bytes, atomic_write_text, read_json

SHORTENED = "shortened"
NOT_TAKEN = ("end", "test")
"""Events of a run's end, which the longer run has not come to."""


def extend(old: RunPlan, folder: Path, steps: int) -> Result:
    """Do `steps` steps where the finished run of the plan in `folder` has fewer, in a folder of their own.

    The result is that of a run with so many steps, bit for bit. UsageError where that cannot be.
    """
    units = [dataclasses.replace(old, fold=fold) for fold in old.folds if old.fold is None] or [old]
    if run_dir(old) != folder:
        raise UsageError(
            f"{folder} is not where its command puts a run, which is {run_dir(old)}: a sweep's run, or one "
            "whose files were moved, does not go on"
        )
    plan = longer(old, steps)
    for unit in units:
        _give_state(unit, dataclasses.replace(plan, fold=unit.fold))
    return engine.run(plan)


def longer(old: RunPlan, steps: int) -> RunPlan:
    """The plan with so many steps; UsageError where its first steps would be others than those of `old`."""
    task = old.task
    if task.train_split is None:
        raise UsageError(f"{task.name} trains nothing, so it has no steps")
    if old.noise is not None:
        raise UsageError("a run with --noise tests what another one trained: extend the run without it")
    config = resolve_config(old)
    done = config["runner"]["total_steps"]
    if steps <= done:
        raise UsageError(f"the run has {done:,} steps, expected more than these with --steps")
    if task.kept_checkpoints:
        raise UsageError(
            f"{task.name} chooses among {task.kept_checkpoints} checkpoints, evenly over all steps, so a "
            f"run of {done:,} has kept others than one of {steps:,}: start one with --steps {steps}"
        )
    changed = {key: value for key, value in old.overrides.items() if key != STEPS}
    if dict(leaves(task.recipes[old.recipe].config)).get(STEPS) != steps:
        changed[STEPS] = steps
    plan = dataclasses.replace(old, overrides=changed)
    _require_same_rates(config, resolve_config(plan))
    return plan


def _require_same_rates(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """UsageError where the schedule gives the steps that were done another learning rate."""
    name = before["optimizer"].get("name", "")
    if name.endswith("_with_schedule"):
        raise UsageError(f"the schedule of {name} follows from the number of steps: start a run with --steps")
    done = before["runner"]["total_steps"]
    factors = []
    for config in (before, after):
        made = make_scheduler(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), config)
        factors.append([made.lr_lambdas[0](step) for step in range(done + 1)] if made is not None else [])
    for step, (one, other) in enumerate(zip(*factors, strict=True), 1):
        if one != other:
            raise UsageError(
                f"the schedule {before['scheduler']['name']} follows from the number of steps (step {step:,} "
                f"has {one:.4g} of the full rate, {other:.4g} in a longer run): start one with --steps"
            )


def _give_state(old: RunPlan, plan: RunPlan) -> None:
    """Give the longer run the state of the finished one, unless it has begun; killed, it is done again."""
    source, folder = RunFolder(run_dir(old)), RunFolder(run_dir(plan))
    if not source.is_finished:
        raise UsageError(f"{source.path} is not finished: the same command goes on with it")
    folder.path.mkdir(parents=True, exist_ok=True)
    with lock.hold(folder.path):
        if folder.is_finished or folder.checkpoints():
            return
        state, path = _state(source, resolve_config(old))
        step, config = state["step"], resolve_config(plan)
        stored = read_json(source.path / PLAN) or {}
        own = {"config_sha256": config_hash(plan, config), "settings": dict(leaves(config))}
        atomic_write_text(folder.path / PLAN, json.dumps({**stored, **own}, indent=1) + "\n")
        full = plan.task.recipes["superb"].config["runner"]["total_steps"]
        still = config["runner"]["total_steps"] < full or SHORTENED in plan.task.recipes[plan.recipe].labels
        gone = None if still else SHORTENED
        for name in (METRICS, EVENTS):
            lines = [line for line in records.read(source.path / name) if line["step"] <= step]
            kept = [
                {**line, "labels": [label for label in line.get("labels", ()) if label != gone]}
                for line in lines
                if line.get("event") not in NOT_TAKEN
            ]
            atomic_write_text(folder.path / name, "".join(json.dumps(line) + "\n" for line in kept))
        rule = plan.task.selection
        chosen = [rule.artefact] if rule is not None and state["best"] is not None else []
        for name in (
            *chosen,
            str(path.relative_to(source.path)),
        ):  # the state last: it says that all is there
            for file in (sha256_record(source.path / name), source.path / name):
                atomic_write_bytes(folder.path / file.relative_to(source.path), file.read_bytes())


def _state(source: RunFolder, config: Mapping[str, Any]) -> tuple[dict[str, Any], Path]:
    """The newest state that a longer run has too, and its file.

    A run of fewer steps than are between two evaluations was evaluated at its end all the same, which seeds
    the random generators anew: its last state is none.
    """
    runner = config["runner"]
    total, every = runner["total_steps"], runner["eval_step"]
    extra = bool(runner["eval_dataloaders"]) and total < every
    for step, path in source.checkpoints().items():
        if step < total or not extra:
            return read_tensors(path), path
    raise UsageError(
        f"{source.path} has no state that a longer run has too: it was evaluated at its last step, where one "
        "of more steps is not; start one with --steps"
    )
