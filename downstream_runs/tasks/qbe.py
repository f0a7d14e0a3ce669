"""Query-by-example spoken term detection on QUESST 2014: features, DTW, MTWV, and no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.run_folder import BENCHMARK, LAYERS, TRIALS
from downstream_runs.core.task import MetricSpec, Score, TaskSpec
from downstream_runs.corpora import quesst14
from downstream_runs.recipes import Recipes
from upstream_arm.common.errors import UsageError

if TYPE_CHECKING:
    from downstream_runs.core.results import Metric
    from downstream_runs.engine.trained_run import TrainedRun

STORES = ("float32", "float16")


RECIPES = Recipes("qbe")


def check(config: Mapping[str, Any]) -> None:
    """UsageError for another search than SUPERB's, and for an unknown store."""
    found, built = config["downstream_expert"], RECIPES["superb"].config["downstream_expert"]
    for key, value in built.items():
        if key != "feature_store" and found[key] != value:
            raise UsageError(
                f"downstream_expert.{key} is {found[key]!r}, and QbE is built for SUPERB's {value!r} only; "
                "leave it out, or run s3prl itself with the s3prl command"
            )
    if found["feature_store"] not in STORES:
        raise UsageError(
            f"downstream_expert.feature_store is {found['feature_store']!r}, "
            f"expected one of {', '.join(STORES)}"
        )


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Nothing: MTWV is not scored split by split, see `test`."""
    return ()


def test(run: TrainedRun) -> tuple[Metric, ...]:
    """Every layer on dev, the best on eval."""
    from downstream_runs.protocols import qbe

    return qbe.test(run)


TASK = TaskSpec(
    name="qbe",
    title="Query-by-example spoken term detection",
    s3prl_name="quesst14_dtw",
    aliases=("query-by-example", "quesst14", "quesst14-dtw", "quesst", "spoken-term-detection"),
    corpus=quesst14.CORPUS,
    train_split=None,
    dev_splits=("dev",),
    test_splits=("eval",),
    metrics=(
        MetricSpec("mtwv", "maximum term weighted value", "fraction", "higher", None),
        MetricSpec(
            "mtwv_english",
            "maximum term weighted value, English queries and documents only",
            "fraction",
            "higher",
            None,
            official=False,
        ),
    ),
    selection=None,
    artefacts=(BENCHMARK, LAYERS, TRIALS),
    recipes=RECIPES,
    check=check,
    score=score,
    test=test,
)
