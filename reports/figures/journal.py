"""The journal of a run's training, metrics.jsonl: one JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from downstream_runs.core.run_folder import METRICS
from reports.store import is_fold
from upstream_arm.common.reading import TABLE_BYTES, read_text

NAME = METRICS


def folders(result: Path) -> list[Path]:
    """The run's folder, or those of its folds."""
    folds = sorted(entry for entry in result.parent.iterdir() if entry.is_dir() and is_fold(entry.name))
    return folds or [result.parent]


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    """The whole lines; an absent file has none, and a line that a killed run left half is passed over."""
    try:
        content = read_text(folder / NAME, TABLE_BYTES, errors="replace")
    except OSError:
        return
    for text in content.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            yield line


def layer_weights(folder: Path) -> list[float] | None:
    """The featurizer's weights over the hidden states at the last evaluation that has them."""
    found = None
    for line in lines(folder):
        weights = line.get("layer_weights")
        if isinstance(weights, list) and weights and all(_number(value) for value in weights):
            found = [float(value) for value in weights]
    return found


def scores(folder: Path, metric: str) -> dict[str, list[tuple[int, float]]]:
    """Split -> (step, value) of this metric at each evaluation, as it was evaluated."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in lines(folder):
        score = line.get("scores", {}).get(metric) if isinstance(line.get("scores"), dict) else None
        if isinstance(score, dict) and _number(score.get("value")):
            found.setdefault(str(line.get("split")), []).append((line["step"], float(score["value"])))
    return found


def losses(folder: Path) -> list[tuple[int, float]]:
    """(step, training loss), from the lines that no evaluation wrote."""
    found = []
    for line in lines(folder):
        scalars = line.get("scalars")
        if "scores" in line or not isinstance(scalars, dict):
            continue
        value = next((value for name, value in sorted(scalars.items()) if "loss" in name.lower()), None)
        if _number(value):
            found.append((line["step"], float(value)))  # type: ignore[arg-type]
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
