"""Tasks from tasks.yaml, which has what they are, and from functions, which do their work."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import Corpus
from downstream_runs.core.task import Cost, MetricSpec, Score, Selection, TaskSpec
from downstream_runs.recipes import Recipes


@functools.cache
def _all() -> Mapping[str, Mapping[str, Any]]:
    import yaml

    text = (Path(__file__).parent / "tasks.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(text)
    return found


def task(
    name: str,
    corpus: Corpus,
    score: Callable[[Path, str, Mapping[str, float]], tuple[Score, ...]],
    **others: Any,
) -> TaskSpec:
    """The task of that name in tasks.yaml; `others`: more of its functions, see `TaskSpec`."""
    said: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in _all()[name].items()
    }
    parts: dict[str, Any] = {
        "recipes": Recipes(name),
        "cost": Cost(**said.pop("cost")),
        "metrics": tuple(MetricSpec(**one) for one in said.pop("metrics", ())),
        "selection": Selection(**said.pop("selection")) if "selection" in said else None,
    }
    return TaskSpec(**{"name": name, "corpus": corpus, "score": score, **said, **parts, **others})
