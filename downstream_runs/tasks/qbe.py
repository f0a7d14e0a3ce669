"""Query-by-example spoken term detection on QUESST 2014: features, DTW, MTWV, and no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.run_folder import BENCHMARK, LAYERS, TRIALS
from downstream_runs.core.task import Cost, Score, TaskSpec
from downstream_runs.corpora import quesst14
from downstream_runs.protocols import qbe
from downstream_runs.recipes import Recipes
from upstream_arm.common.errors import UsageError

STORES = ("float32", "float16")


def check(config: Mapping[str, Any], superb: Mapping[str, Any]) -> None:
    """UsageError for an unknown type of stored features."""
    store = config["downstream_expert"]["feature_store"]
    if store not in STORES:
        raise UsageError(f"downstream_expert.feature_store is {store!r}, expected one of {', '.join(STORES)}")


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Nothing: MTWV is not scored split by split, see `test`."""
    return ()


TASK = TaskSpec(
    name="qbe",
    title="Query-by-example spoken term detection",
    s3prl_name="quesst14_dtw",
    aliases=("query-by-example", "quesst14", "quesst14-dtw", "quesst", "spoken-term-detection"),
    corpus=quesst14.CORPUS,
    recipes=Recipes("qbe"),
    cost=Cost(search_gb=30.0),  # 12 x 768 values in fp32 for each frame of all audio
    train_split=None,
    test_splits=("eval",),
    metrics=(qbe.MTWV, qbe.MTWV_ENGLISH),
    artefacts=(BENCHMARK, LAYERS, TRIALS),
    submitted={BENCHMARK: f"qbe_public/{BENCHMARK}"},
    fixed_keys=tuple(
        f"downstream_expert.{key}"
        for key in (
            "feature_normalization",
            "dtwrc.dist_method",
            "dtwrc.minmax_norm",
            "dtwrc.step_pattern",
            "dtwrc.subsequence",
        )
    ),
    score=score,
    test=qbe.test,
    check=check,
)
