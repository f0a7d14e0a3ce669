"""Query-by-example spoken term detection on QUESST 2014: features, DTW, MTWV, and no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.task import Score
from downstream_runs.corpora import quesst14
from downstream_runs.protocols import qbe
from downstream_runs.tasks import task
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


TASK = task(
    "qbe",
    quesst14.CORPUS,
    score,
    metrics=(qbe.MTWV, qbe.MTWV_ENGLISH),
    test=qbe.test,
    check=check,
)
