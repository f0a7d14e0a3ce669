"""Evaluate upstreams from Python, with the numbers of the command line, and read results into pandas."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upstream_arm.common.errors import UsageError

if TYPE_CHECKING:
    import pandas
    from torch import nn

    from downstream_runs.core.results import Result
    from downstream_runs.core.run import RunPlan

COLUMNS = (
    *("upstream", "task", "recipe", "seed", "metric", "value", "unit", "split", "role", "official"),
    *("selection", "labels", "deviations", "steps", "checkpoint_sha256", "wall_seconds", "created", "path"),
)
"""Of a table of results."""


@dataclass(frozen=True)
class Results:
    """What `evaluate` found: one `core.results.Result` for each task, in the order of the tasks.

    results: each says how its numbers came about and what keeps them from being compared (`labels`).
    paths: the `result.json` of each, beside which the run's other files lie.
    """

    results: tuple[Result, ...]
    paths: tuple[Path, ...]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, task: str) -> Result:
        """The result of a task; KeyError for one that was not run."""
        for result in self.results:
            if result.task == task:
                return result
        raise KeyError(task)

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each number, as `load_results` gives them."""
        return _frame(list(zip(self.paths, self.results, strict=True)))


def evaluate(
    upstream: str | nn.Module,
    tasks: str | Sequence[str],
    *,
    data: str | os.PathLike[str] | None = None,
    demo: bool = False,
    recipe: str | None = None,
    out: str | os.PathLike[str] = "runs",
    ckpt: str | os.PathLike[str] | None = None,
    trust_remote_code: bool = False,
    seed: int | None = None,
    batching: str | None = None,
    states: str | None = None,
    layer: int | None = None,
    quantize: str | None = None,
    device: str = "auto",
    name: str | None = None,
    **overrides: Any,
) -> Results:
    """Train and score tasks on a frozen upstream, or go on with what is there; progress goes to stderr.

    upstream: a name, as `./run_superb.sh list` shows them, another source as on the command line
        (`hf:ORG/NAME`, `./folder`, `py:FILE.py:NAME`), or a module in the way of s3prl's upstreams:
        called with a list of waveforms `[sample]` at 16 kHz it gives `{"hidden_states": [tensor [batch,
        frame, feature], ...]}`, and `get_downsample_rates(key)` is the number of samples a frame. A module
        is not changed, but is moved to the device. Set `untrained = True` on it if its weights are random.
    tasks: `"asr"`, `"asr,ks"`, `["asr", "ks"]` or `"all"`.
    data: the folder of the corpora; else SUPERB_DATA or superb.toml, as on the command line.
    demo: use a small synthetic corpus instead, made on first use.
    recipe: `superb` (the default), `paper`, `sample`, `demo` (the default with `demo`), or the path of a
        recipe of your own, `mine.yaml`.
    out: the folder that runs go to. A run that is there is continued, and not done twice.
    ckpt: the weights' file of a named upstream that takes one.
    trust_remote_code: run the code that a model of transformers brings with it.
    batching: `exact`: each utterance is encoded by itself, so that its batch changes nothing; `stock`: as
        s3prl does, the default of upstreams that are not this project's.
    states, layer: what of the upstream's output is used, as `--states` and `--layer` on the command line.
    quantize: `int8`, as `--quantize` on the command line.
    name: what a module is called in results; its class's name if None. A hash of its weights, its plain
        attributes and its classes' source is added, so that different modules are different upstreams.
    overrides: settings of the recipe; two underscores stand for a dot: `optimizer__lr=1e-3`.

    The numbers are those of the command line with the same arguments, to the last digit. Raises UsageError,
    UpstreamError (of upstream_arm) or ReportError (of reports) for what cannot be used, RunFailed for a run
    that could not be finished: the first one ends the call, and the results before it stay in `out`.

    >>> from downstream_runs import evaluate
    >>> results = evaluate("fbank", "ks", demo=True, device="cpu", runner__total_steps=4, runner__eval_step=4)
    >>> results["ks"].labels
    ('demo', 'shortened')
    >>> results.to_pandas()[["upstream", "task", "metric", "unit", "split"]].values.tolist()
    [['fbank', 'ks', 'acc', 'percent', 'test'], ['fbank', 'ks', 'acc', 'percent', 'dev']]
    """
    words = [tasks if isinstance(tasks, str) else ",".join(tasks)]
    named: dict[str, Any] = {"data": data, "recipe": recipe, "out": out, "ckpt": ckpt, "demo": demo or None}
    named |= {"seed": seed, "device": None if device == "auto" else device, "batching": batching}
    named |= {"states": states, "layer": layer, "quantize": quantize}
    named |= {"trust-remote-code": trust_remote_code or None}
    for key, value in named.items():
        if value is not None:
            words += [f"--{key}", *([] if value is True else [str(value)])]
    for key, value in overrides.items():
        words += ["-o", f"{key.replace('__', '.')}={_json(key, value)}"]
    if isinstance(upstream, str):
        if name is not None:
            raise UsageError(f"name={name!r} is for a module, and the upstream {upstream!r} has its own name")
        return _run(_plans([upstream, *words]), demo)
    if ckpt is not None:
        raise UsageError(
            "ckpt is for the name of an upstream, and a module has its weights already: leave it out"
        )
    from downstream_runs.upstreams.own_module import registered

    if quantize is not None:  # which would change the module
        upstream = copy.deepcopy(upstream)
    with registered(upstream, name) as label:
        # The plan of any upstream that takes nothing; its name is exchanged, and its command is none that
        # `repeat` could take another upstream from.
        command = ("downstream_runs.evaluate", label, *words)
        plans = [
            dataclasses.replace(plan, upstream=label, command=command) for plan in _plans(["fbank", *words])
        ]
        return _run(plans, demo)


def load_results(place: str | os.PathLike[str] = "runs") -> pandas.DataFrame:
    """The results in or below a folder, or of one `result.json`: one row for each number, sorted by file.

    Columns: upstream, task, recipe, seed, metric, value, unit, split, role (`headline` or `information`),
    official, selection, labels, deviations (tuples of text), steps, checkpoint_sha256, wall_seconds, created,
    path. Raises ReportError where there is no such place and for the first file that cannot be used.

    >>> from downstream_runs import load_results
    >>> table = load_results("runs")
    >>> sorted(set(table["upstream"]))
    ['fbank']
    >>> table.query("role == 'headline'")[["task", "metric"]].drop_duplicates().values.tolist()
    [['ks', 'acc']]
    """
    from reports import store
    from upstream_arm.common.errors import ReportError

    search = store.find([Path(place)])
    if search.problems:
        raise ReportError(search.problems[0])
    return _frame(search.results)


def _json(key: str, value: Any) -> str:
    try:
        return json.dumps(value)
    except TypeError:
        raise UsageError(
            f"{key} is {value!r}, expected a number, text, true or false, a list or a dictionary of these"
        ) from None


def _plans(words: Sequence[str]) -> list[RunPlan]:
    """The runs that these words on the command line would mean."""
    from downstream_runs.cli.plans import rows_of
    from downstream_runs.cli.run import run_parser

    return [row.plan for row in rows_of(run_parser().parse(words))]


def _run(plans: Sequence[RunPlan], with_demo: bool) -> Results:
    from downstream_runs import engine
    from downstream_runs.core.run_folder import RESULT

    results = tuple(engine.run(plan, with_demo=with_demo) for plan in plans)
    return Results(results, tuple(engine.run_dir(plan) / RESULT for plan in plans))


def _frame(results: Sequence[tuple[Path, Result]]) -> pandas.DataFrame:
    import pandas

    rows = [
        {
            **vars(result),
            **vars(metric),
            "metric": metric.name,
            "checkpoint_sha256": result.upstream_checkpoint_sha256,
            "path": str(path),
        }
        for path, result in results
        for metric in result.metrics
    ]
    return pandas.DataFrame(rows, columns=list(COLUMNS) if rows else None)
