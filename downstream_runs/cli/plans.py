"""The runs that the options of `run` and `plan` ask for.

Only the standard library is imported up here: a mistyped name is answered at once.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs import recipes, tasks
from downstream_runs.cli import overrides
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.core.run import RunPlan, resolve_config
from downstream_runs.core.run_folder import DEMO_DATA
from downstream_runs.core.settings import OPEN_BLOCKS, RATE, STEPS, batch_size_key, leaves
from downstream_runs.corpora import data_root
from downstream_runs.launch.grid import Row
from downstream_runs.recipes import rates
from downstream_runs.tasks import own, plugins
from upstream_arm import names, published_states
from upstream_arm.common.errors import UsageError
from upstream_arm.common.program import PROGRAM

if TYPE_CHECKING:
    from downstream_runs.core.feature_options import FeatureOptions
    from downstream_runs.core.run import Noise, RunPlan
    from downstream_runs.core.task import TaskSpec
    from downstream_runs.launch.grid import Row
    from downstream_runs.upstreams.weights import Upstream

ALL, SWEEP = "all", "sweep"
MOST_GB = 1_000_000

SWEEP_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""SUPERB searches the learning rate by powers of ten, from 1e-1 to 1e-7 (arXiv 2105.01051, section 4): of
these the upper five, which hold every recipe's own."""


def rows_of(options: argparse.Namespace) -> tuple[Row, ...]:
    """Every upstream with every task and seed that the options name; UsageError for what cannot be used."""
    rows: list[Row] = []
    notes: list[str] = []
    chosen = _tasks(options)
    for upstream in split(options.upstream, "upstream"):
        for task in chosen:
            words = _in_words(task, options, notes, alone=len(chosen) == 1)
            rates = _rates(task, options)
            for seed in options.seed:
                given = vars(options) | {"upstream": upstream, "seed": (seed,)}
                given |= _of_training(task, options, notes) if len(chosen) > 1 else {}
                given["overrides"] = [*_overrides(task, chosen, options, notes), *words]
                if len(rates) == 1:
                    given["overrides"] += [f"{RATE}={rates[0]!r}"]
                plan = _plan(task, argparse.Namespace(**given), notes)
                rows.append(Row(plan, rates if len(rates) > 1 else ()))
    for note in dict.fromkeys([*notes, *(departure for row in rows for departure in _departures(row))]):
        print(f"note: {note}", file=sys.stderr)
    return tuple(rows)


def _departures(row: Row) -> Iterator[str]:
    """Where a row departs from what was published for its upstream: other features, a poor learning rate."""
    plan = row.plan
    remark = published_states.remark(plan.upstream, plan.states, plan.layer)
    if remark is not None:
        yield f"{plan.upstream}: {remark}"
    recipe = plan.task.recipes[plan.recipe]
    own_rate = not row.rates and "optimizer.lr" not in plan.overrides
    if own_rate and recipe.is_full and plan.task.train_split is not None:
        doubt = rates.doubt(plan.upstream, plan.task.name, recipe.config["optimizer"]["lr"])
        if doubt is not None:
            yield doubt


def require_table_options(options: argparse.Namespace) -> None:
    """UsageError for options of a table without one, and for those of SUPERB's corpora beside it."""
    if options.table is None:
        for option in ("task_name", "split_by", "split_seed", "trials"):
            if getattr(options, option):
                raise UsageError(
                    f"--{option.replace('_', '-')} is for a table: give --table FILE, or leave it out"
                )
        return
    for option in ("data", "demo", "partial"):
        if getattr(options, option, None):
            raise UsageError(
                f"--{option} is for the corpora of SUPERB's tasks, and --table is data: leave it out"
            )


def _tasks(options: argparse.Namespace) -> tuple[TaskSpec, ...]:
    """SUPERB's tasks of the names that are given, or the one task of a table; UsageError for neither."""
    if options.upstream in tasks.known() and options.task not in tasks.known():
        raise UsageError(
            f"{options.upstream} is a task, and the upstream comes first: type it before the task"
        )
    if options.task_file is not None:
        if options.table is not None:
            raise UsageError("--table and --task-file both name a task: give one of the two")
        task = plugins.of_file(options.task_file)
        if options.task != task.name:
            raise UsageError(
                f"{options.task_file} has the task {task.name}, and not {options.task}: name that"
            )
        return (task,)
    require_table_options(options)
    if options.table is None:
        return tuple(tasks.get(name) for name in task_names(options.task))

    by, seed = options.split_by, options.split_seed
    return (own.define(options.task, options.table, options.task_name, by, seed, options.trials),)


def _plan(task: TaskSpec, options: argparse.Namespace, notes: list[str]) -> RunPlan:
    """The run of one upstream, one task and the first seed, learning rates apart.

    All names are checked before any data is looked for or made. Raises UsageError for names, files and
    folders that cannot be used. notes: what the user must be told of it is added to them.
    """
    from downstream_runs.upstreams import weights

    if options.demo and options.data is not None:
        raise UsageError("--demo makes its own corpus and --data names another: give one of the two")
    out = data_root.out_folder(options.out)
    upstream = weights.choose(options.upstream, options.ckpt, options.demo, options.trust_remote_code, out)
    task, recipe = recipes.chosen(task, _recipe(options))
    changed = overrides.read(options.overrides, dict(leaves(recipe.config)))
    notes += [upstream.note] if upstream.note else []
    plan = RunPlan(
        task=task,
        recipe=recipe.name,
        data=_data(task, options, out),
        out=out,
        seed=options.seed[0],
        devices=options.devices,
        precision=options.precision,
        overrides=changed,
        command=(PROGRAM, *options.words),
        features=features_of(options),
        partial=options.partial,
        efficiency=options.efficiency,
        noise=_noise(options),
        name=options.name,
        **upstream_fields(options, upstream),
    )
    resolve_config(plan)
    return plan


def _noise(options: argparse.Namespace) -> Noise | None:
    """What is added to the recordings of the test; UsageError for half of it, and with several rates."""
    if options.noise is None and options.noise_dir is None:
        return None
    if options.noise is None or options.noise_dir is None:
        raise UsageError("--noise DB and --noise-dir DIR belong together: give both, or none")
    if options.lr is not None and (options.lr == SWEEP or "," in options.lr):
        raise UsageError("--noise is for one learning rate: name the one that was chosen without it")
    from downstream_runs.corpora import noise

    return noise.in_folder(options.noise_dir, options.noise)


def upstream_fields(options: argparse.Namespace, upstream: Upstream) -> dict[str, Any]:
    """What a plan says of its upstream, by the options of `add_upstream`; UsageError as of `switches_of`."""
    states, layer = published_states.default(upstream.name)
    if options.states is not None or options.layer is not None:
        states, layer = options.states or published_states.STATES, options.layer
    return {
        "upstream": upstream.name,
        "ckpt": upstream.ckpt,
        "model_config": options.model_config,
        "switches": switches_of(options, upstream.name),
        "states": states,
        "layer": layer,
        "quantize": options.quantize,
        "device": options.device,
        "source": upstream.source,
        "revision": upstream.revision,
        "trust_remote_code": upstream.trust_remote_code,
    }


def plan_of_upstream(options: argparse.Namespace, task: TaskSpec, recipe: str, demo: bool) -> RunPlan:
    """A plan of which the upstream alone is built, for what measures it: without data and runs.

    demo: whether weights that are not on this machine may be random ones.
    """
    from downstream_runs.upstreams import weights

    chosen = weights.choose(options.upstream, options.ckpt, demo, options.trust_remote_code)
    about = upstream_fields(options, chosen)
    return RunPlan(task=task, recipe=recipe, data=Path(), out=Path(), **about)


def switches_of(options: argparse.Namespace, upstream: str) -> Mapping[str, str]:
    """The switches that were given; UsageError for one, or a value, that this upstream does not have."""
    own = upstream in names.names()
    given = {switch: getattr(options, switch) for switch in names.SWITCHES}
    chosen = {switch: value for switch, value in given.items() if value is not None}
    for switch, value in chosen.items():
        option = "--" + switch.replace("_", "-")
        if not own and switch != "batching":
            raise UsageError(f"{option} is for this project's students and {upstream} is none: leave it out")
        values = names.SWITCHES[switch] if own else ("exact", names.STOCK)
        if value not in values:
            raise UsageError(f"{option} is {value}, and {upstream} has {' or '.join(values)}")
    return chosen


def features_of(options: argparse.Namespace) -> FeatureOptions:
    """What the options say of stored features; UsageError if they cannot go together."""
    gb = options.features_gb
    if gb is not None and not 0 < gb <= MOST_GB:
        raise UsageError(f"--features-gb is {gb:g}, expected more than 0 and at most {MOST_GB:,}")
    limit = None if gb is None else int(gb * 1e9)
    return FeatureOptions(options.features, options.features_precision, limit)


def task_names(text: str) -> tuple[str, ...]:
    """Names of tasks, separated by commas, or all ten by `all`; UsageError for an unknown one."""
    if text.strip().lower() == ALL:
        return tasks.names()
    return tuple(dict.fromkeys(tasks.get(name).name for name in split(text, "task")))


def split(text: str, what: str) -> tuple[str, ...]:
    """Names that are separated by commas, each once; UsageError for an empty one.

    Commas within [] or {}, such as in an option of an upstream, separate nothing.
    """
    parts = [part.strip() for part in re.split(r",(?![^\[{]*[\]}])", text)]
    if not all(parts):
        raise UsageError(f"{text!r} has an empty {what}; separate names by single commas")
    return tuple(dict.fromkeys(parts))


def _data(task: TaskSpec, options: argparse.Namespace, out: Path) -> Path:
    if options.table is not None:
        return options.table.expanduser().absolute().parent
    if options.demo:
        return out / DEMO_DATA
    root = data_root.data_root(options.data)
    if root is None:
        corpus = task.corpus
        raise data_root.no_data(task.name, f"{corpus.name} ({corpus.size}, {corpus.licence}, {corpus.url})")
    return root.path


def _recipe(options: argparse.Namespace) -> str:
    return options.recipe or ("demo" if options.demo else "superb")


def _overrides(
    task: TaskSpec, chosen: Sequence[TaskSpec], options: argparse.Namespace, notes: list[str]
) -> list[str]:
    """The texts of -o that are of this task: not those of a setting or block that only others of the command
    have.
    """
    names = {other.name: _names(other, _recipe(options)) for other in chosen}
    others = set().union(*names.values()) - names[task.name]
    keys = {text: text.partition("=")[0].strip() for text in options.overrides}
    # A key without dots may be a block itself.
    lacking = {text: name for text, key in keys.items() if (name := key.rpartition(".")[0] or key) in others}
    settings = {text: key for text, key in keys.items() if key in others and text not in lacking}
    for kind, absent in (("block", lacking), ("setting", settings)):
        if absent:
            given = " -o ".join(absent)
            which = " or ".join(dict.fromkeys(absent.values()))
            notes.append(f"{task.name}'s recipe has no {kind} {which}: it is run without -o {given}")
    return [text for text in options.overrides if text not in lacking and text not in settings]


def _names(task: TaskSpec, recipe: str) -> set[str]:
    """The settings that a task's recipe has, and the blocks that it has or may be given; each with those
    around it. Not the settings of blocks that may have more.
    """
    keys = [key for key, _ in leaves(recipes.chosen(task, recipe)[1].config)]
    parts = [key.split(".")[:-1] for key in keys]
    blocks = {".".join(names[:depth]) for names in parts for depth in range(1, len(names) + 1)}
    blocks |= set(OPEN_BLOCKS) if "optimizer" in blocks else set()
    return blocks | {key for key in keys if key.partition(".")[0] not in OPEN_BLOCKS}


def _in_words(task: TaskSpec, options: argparse.Namespace, notes: list[str], *, alone: bool) -> list[str]:
    """The settings KEY=VALUE that --steps and --batch-size stand for, whatever this task's recipe calls
    them.

    A task that trains nothing has none, which is an error where it is `alone`, the only task. UsageError
    where one of these, or --lr, is set by -o too.
    """
    given = [name for name in ("lr", "steps", "batch_size") if getattr(options, name) is not None]
    shown = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    if task.train_split is None and given:
        if alone:
            raise UsageError(f"{shown}: {task.name} trains nothing, so it has no such setting: leave it out")
        notes.append(f"{task.name} trains nothing: {shown} does not touch it")
        return []
    config = recipes.chosen(task, _recipe(options))[1].config if given else {}
    keys = {"lr": RATE, "steps": STEPS, "batch_size": batch_size_key(config)}
    for name in given:
        if any(text.partition("=")[0].strip() == keys[name] for text in options.overrides):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} and -o {keys[name]} are the same setting: give one of the two")
    return [f"{keys[name]}={getattr(options, name)}" for name in given if name != "lr"]


def _of_training(task: TaskSpec, options: argparse.Namespace, notes: list[str]) -> dict[str, Any]:
    """For a task among others that trains nothing: what --devices and --precision are without being given."""
    plain = {"devices": 1, "precision": "fp32"}
    given = [f"--{name}" for name, usual in plain.items() if getattr(options, name) != usual]
    if task.train_split is not None or not given:
        return {}
    notes.append(f"{task.name} trains nothing: it is run without {' and '.join(given)}")
    return plain


def _rates(task: TaskSpec, options: argparse.Namespace) -> tuple[float, ...]:
    """The learning rates that --lr gives a task that trains; empty for the recipe's own."""
    if options.lr is None or task.train_split is None:
        return ()
    several = options.lr == SWEEP or "," in options.lr
    if several and task.selection is None and not task.dev_splits:
        raise UsageError(f"--lr: {task.name} has no number on dev to choose by: give one rate")
    if options.lr == SWEEP:
        return SWEEP_RATES
    return tuple(dict.fromkeys(_rate(text) for text in options.lr.split(",")))


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise UsageError(f"--lr has {text!r}, expected rates above 0 such as 1e-2,1e-3, or {SWEEP}")
    return rate
