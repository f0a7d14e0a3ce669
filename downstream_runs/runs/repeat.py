"""`repeat`: does the run that made a result give it again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from downstream_runs import recipes, tasks
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.core.results import OWN_TASK, Result
from downstream_runs.core.run import Noise, RunPlan
from downstream_runs.core.run_folder import BUNDLE, DEMO_DATA, PLAN, RESULT
from downstream_runs.core.settings import leaves
from downstream_runs.core.task import Recipe
from downstream_runs.engine import session
from downstream_runs.recipes import BLOCKS
from downstream_runs.runs.verify import GOOD, WRONG, Check, printed, result_file
from upstream_arm import names
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import read_json, sha256_file


def repeat(
    old: Result, command: argparse.Namespace, features: FeatureOptions, options: argparse.Namespace
) -> int:
    """Run a result's plan again into another folder and compare; 0 if every number is the same, else 1.

    command: the options that made it; features: what they say of stored features; options: of `repeat`.
    """
    out = options.out.expanduser().absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"{options.out} is not empty; give --out a new folder, so that nothing is taken over"
        )
    _refuse_code_of_others(old, command, options.result)
    plan = plan_of(old, command, features, options, out)
    new = session.run(plan, with_demo=command.demo)
    # The hashes that results had for the corpus before its contents were sampled.
    plans = (read_json(path) or {} for path in out.rglob(PLAN))
    found = printed(_differences(old, new, {str(plan.get("data_listing_sha256") or "") for plan in plans}))
    bad = any(check.good is False for check in found)
    print(f"{'another result' if bad else 'the same result'}, made in {out}")
    return WRONG if bad else GOOD


def _refuse_code_of_others(old: Result, given: argparse.Namespace, place: Path) -> None:
    """UsageError where a bundle of somebody else names code, or weights at an address, which can be code."""
    source, ckpt = old.upstream_source or "", given.ckpt or ""
    named = [
        source if old.upstream_remote_code or source.startswith("py:") else "",
        str(old.upstream_switches.get("ckpt_url", "")),
        ckpt if "://" in ckpt else "",
        str(given.task_file or ""),
    ]
    found = ", ".join(dict.fromkeys(filter(None, named)))
    if found and (result_file(place).parent / BUNDLE).is_file():
        raise UsageError(
            f"{place} is of somebody else and was made with {found}, which can be code: it is not run from "
            f"there; read it, and run {old.upstream} {old.task} with it yourself"
        )


def plan_of(
    old: Result, given: argparse.Namespace, features: FeatureOptions, options: argparse.Namespace, out: Path
) -> RunPlan:
    """The run that made `old`, from its command and its own record of what the command came to.

    options: where the data, the checkpoint and the model's yaml are, if they have moved, and the device.
    """
    task = tasks.of_result(old, options.data, given.task_file)
    if old.recipe in task.recipes:
        recipe = task.recipes[old.recipe]
    else:  # of one's own: the result holds all of it
        own = Recipe(old.recipe, _recorded(old), f"of {options.result}", str(options.result))
        task, recipe = recipes.added(task, own, f"of the result {options.result}")
    whole = not task.folds or any(name.endswith(f"/{RESULT}") for name in old.artefacts)
    plain = json.loads(json.dumps(dict(leaves(recipe.config))))
    noise = old.config.get("noise")
    ours = ("features.", "runner.devices", "noise.", f"{OWN_TASK}.")  # of the command, not of the recipe
    return RunPlan(
        task=task,
        recipe=recipe.name,
        upstream=old.upstream,
        data=out / DEMO_DATA if given.demo else (options.data or Path(old.corpus.root)),
        out=out,
        ckpt=_checkpoint(old, given, options.ckpt),
        model_config=options.model_config or given.model_config,
        switches={key: getattr(given, key) for key in names.SWITCHES if getattr(given, key) is not None},
        seed=old.seed,
        device=options.device or given.device,
        devices=given.devices,
        precision=given.precision,
        overrides={
            key: value
            for key, value in leaves(old.config)
            if key != task.fold_key and not key.startswith(ours) and plain.get(key) != value
        },
        command=old.command,
        features=features,
        partial=given.partial,
        # None for a task without folds, or the mean over them.
        fold=None if whole else str(dict(leaves(old.config))[task.fold_key]),
        states=old.states,
        layer=old.layer,
        quantize=None if old.quantize is None else old.quantize.kind,
        efficiency=old.efficiency is not None,
        source=old.upstream_source,
        revision=old.upstream_revision,
        trust_remote_code=old.upstream_remote_code,
        noise=None if noise is None else Noise(noise["snr"], Path(noise["folder"]), noise["sha256"]),
    )


def out_of(result: Result, folder: Path) -> Path:
    """The folder of runs that a result's folder lies in: OUT/UPSTREAM/TASK/RUN, a fold's one deeper."""
    return next((place.parent.parent for place in folder.parents if place.name == result.task), folder.parent)


def _checkpoint(old: Result, given: argparse.Namespace, moved: str | None) -> str | None:
    """The weights of the result; UsageError if there are no such ones at their place."""
    if given.ckpt is None and old.upstream not in names.names():
        return None  # s3prl finds its own upstreams' weights itself
    url = old.upstream_switches.get("ckpt_url")
    ckpt = moved or url or old.upstream_checkpoint
    if ckpt is None or ckpt == url:
        return None if ckpt is None else str(ckpt)
    found = sha256_file(Path(ckpt)) if Path(ckpt).is_file() else "absent"
    if found != old.upstream_checkpoint_sha256:
        raise UsageError(
            f"{ckpt} is not the checkpoint of the result: its SHA-256 is {found}, expected "
            f"{old.upstream_checkpoint_sha256}; name that one with --ckpt FILE"
        )
    return str(ckpt)


def _recorded(old: Result) -> dict[str, Any]:
    """The recipe as the result's configuration has it."""
    config = {block: dict(old.config[block]) for block in BLOCKS if block in old.config}
    config["runner"].pop("devices", None)  # of the command
    return config


def _differences(old: Result, new: Result, listings: Collection[str]) -> Iterator[Check]:
    """First what was the same to begin with, then the numbers.

    listings: what the corpus's hash may have been before contents were sampled.
    """
    if old.corpus.hash in listings:
        yield Check(True, "the corpus has the same names and sizes; its contents were not looked at then")
    else:
        yield Check(old.corpus.hash == new.corpus.hash, f"the corpus has the hash {new.corpus.hash[:12]}")
    for name in ("device", "git_commit"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Check(None, f"{name} was {before}, is {after}")
    for package in sorted(old.packages.keys() | new.packages.keys()):
        before, after = old.packages.get(package), new.packages.get(package)
        if before != after:
            yield Check(None, f"{package} was {before}, is {after}")
    again = {(one.name, one.split, one.role): one for one in new.metrics}
    for one in old.metrics:
        other = again.get((one.name, one.split, one.role))
        name = f"{one.name} of {one.split}"
        if other is None:
            yield Check(False, f"{name} was {one.value!r}, now there is none")
        elif other.value != one.value:
            yield Check(False, f"{name} was {one.value!r}, is {other.value!r}")
        else:
            yield Check(True, f"{name} is {one.value!r} again")
