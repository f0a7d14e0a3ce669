"""A task of several folds: each a run of its own, and the mean over all of them as the task's result."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from downstream_runs.core import results
from downstream_runs.core.results import Metric, Result
from downstream_runs.core.run import RunPlan, resolve_config, run_dir
from downstream_runs.core.run_folder import RESULT, RunFolder
from downstream_runs.engine import result_builder, session
from downstream_runs.scoring.sums import in_order
from upstream_arm.common.files import sha256_file


def run(plan: RunPlan, *, rerun: str = "missing", with_demo: bool = False) -> Result:
    """Do what is missing of a run, and leave in its folder why it failed if it does.

    with_demo: make the task's synthetic corpus first. Errors as in `session.run`.
    """
    with RunFolder(run_dir(plan)).attempt():
        if with_demo:
            plan.task.corpus.make_demo(plan.data)
        return _run(plan, rerun)


def _run(plan: RunPlan, rerun: str) -> Result:
    """Do what is missing of a run, all its folds where the plan names none; returns the task's result.

    The number of a task with folds is the mean of the folds' numbers; there is none before all are done.
    """
    if not plan.task.folds or plan.fold is not None:
        return session.run(plan, rerun=rerun)
    found = [session.run(dataclasses.replace(plan, fold=fold), rerun=rerun) for fold in plan.folds]
    folder = run_dir(plan)
    return results.write_unless_same(folder / RESULT, _mean(plan, found, folder))


def _mean(plan: RunPlan, found: Sequence[Result], folder: Path) -> Result:
    folds, first = plan.folds, found[0]
    every = [metric for result in found for metric in result.metrics]
    metrics: list[Metric] = []
    for name in [metric.name for metric in first.metrics if metric.role == "headline"]:
        single = [metric for metric in every if metric.role == "headline" and metric.name == name]
        of_folds = list(zip(folds, single, strict=True))
        each = "; ".join(f"{fold}: {metric.selection}" for fold, metric in of_folds)
        mean = dataclasses.replace(
            single[0],
            value=in_order(metric.value for metric in single) / len(single),
            counts={f"{fold}_{key}": number for fold, one in of_folds for key, number in one.counts.items()},
            split=f"{single[0].split} of {', '.join(folds)}",
            selection=f"mean over {len(folds)} folds; in each: {each}",
        )
        metrics.append(mean)  # and each fold's number for information
        metrics += [
            dataclasses.replace(one, split=f"{one.split} of {fold}", official=False, role="information")
            for fold, one in of_folds
        ]
    left_out = sum(metric.counts["skipped"] for metric in every if metric.name == result_builder.SKIPPED)
    metrics += result_builder.skipped(left_out, sum(one.steps for one in found), plan.task.train_split)
    return dataclasses.replace(
        first,
        labels=tuple(dict.fromkeys(label for result in found for label in result.labels)),
        deviations=tuple(dict.fromkeys(text for result in found for text in result.deviations)),
        metrics=tuple(metrics),
        command=plan.command or first.command,
        config=json.loads(json.dumps(resolve_config(plan))),
        config_hash="",
        wall_seconds=round(sum(result.wall_seconds for result in found), 3),
        corpus=dataclasses.replace(
            first.corpus,
            counts={
                f"{fold} {split}": number
                for fold, result in zip(folds, found, strict=True)
                for split, number in result.corpus.counts.items()
            },
        ),
        artefacts={f"{fold}/{RESULT}": sha256_file(folder / fold / RESULT) for fold in folds},
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        content_sha256="",
    )
