"""The result of a task of several folds, each a run of its own: the mean over all of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from downstream_runs.core.results import Metric, Result
from downstream_runs.core.run import RunPlan, name_of, resolve_config
from downstream_runs.core.run_folder import RESULT
from downstream_runs.engine import result_builder
from downstream_runs.scoring.sums import in_order
from upstream_arm.common.files import sha256_file


def mean(plan: RunPlan, found: Sequence[Result], folder: Path) -> Result:
    """The result of the folds `found`, which lie in `folder`."""
    folds, first = plan.folds, found[0]
    every = [metric for result in found for metric in result.metrics]
    metrics: list[Metric] = []
    for name in [metric.name for metric in first.metrics if metric.role == "headline"]:
        single = [metric for metric in every if metric.role == "headline" and metric.name == name]
        of_folds = list(zip(folds, single, strict=True))
        each = "; ".join(f"{fold}: {metric.selection}" for fold, metric in of_folds)
        over_all = dataclasses.replace(
            single[0],
            value=in_order(metric.value for metric in single) / len(single),
            counts={f"{fold}_{key}": number for fold, one in of_folds for key, number in one.counts.items()},
            split=f"{single[0].split} of {', '.join(folds)}",
            selection=f"mean over {len(folds)} folds; in each: {each}",
        )
        metrics.append(over_all)  # and each fold's number for information
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
        name=name_of(plan, folder / folds[0]),
        command=plan.command or first.command,
        config=json.loads(json.dumps(result_builder.recorded(plan, resolve_config(plan)))),
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
