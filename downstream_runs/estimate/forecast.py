"""Hours of full runs on an accelerator that is not here, from counts and its vendor's figures: a forecast.

It is `predict`'s arithmetic with the seconds of `accelerators` instead of measured ones, for the whole and
for each part alone. The peaks are never reached, so true runs take longer: how much, `checks` says, by the
same formula for stock s3prl, whose hours are published.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from downstream_runs import tasks
from downstream_runs.core.task import TaskSpec
from downstream_runs.estimate import accelerators
from downstream_runs.estimate.accelerators import PARTS, Device
from downstream_runs.estimate.counted import Counted, TaskCounts
from downstream_runs.estimate.counts import Counts
from downstream_runs.estimate.heads import Shape
from downstream_runs.estimate.measure import Cost, Rates
from downstream_runs.estimate.predict import Prediction, frame_bytes, predict

STOCK = Path(__file__).parent / "stock.json"
"""Counts of stock s3prl with HuBERT BASE, as `benchmarks/forecast.py` wrote them."""

Way = Literal["off", "stored"]
WAYS: tuple[Way, ...] = get_args(Way)
"""The upstream in every pass, as in stock s3prl, or features stored."""


@dataclass(frozen=True)
class Forecast:
    """Hours of a task's full recipe.

    accelerator: of it alone. parts: of it, each as if there were nothing else; reading: stored features over
    its link. host: of one core, to read and decode audio (QbE: and to search, in stock s3prl), which the
    recipe's loading processes share.
    """

    task: TaskSpec
    accelerator: Prediction
    parts: Mapping[str, Prediction]
    host: Prediction
    counts: TaskCounts

    @property
    def stores_frames(self) -> bool:
        """Whether all frames are stored, not vectors of utterances."""
        return self.counts.pooled is None and self.task.train_split is not None

    def hours(self, way: Way) -> float:
        """Audio is read while the accelerator computes, so the longer of the two counts."""
        return max(getattr(self.accelerator, way), self.host_hours(way))

    def host_hours(self, way: Way) -> float:
        """Of all loading processes together, each on a core of its own."""
        return float(getattr(self.host, way) / self.counts.workers)

    def bottleneck(self, way: Way) -> str:
        """The part that takes longest."""
        hours = {name: getattr(part, way) for name, part in self.parts.items()}
        hours["search" if self.task.train_split is None else "decoding"] = self.host_hours(way)
        return max(hours, key=lambda name: hours[name])


def forecast(
    task: TaskSpec, recipe: str, counted: Counted, device: Device, precision: str = "fp16"
) -> Forecast:
    """The forecast of one task by that recipe (superb or paper)."""
    counts = counted.tasks[task.name]
    loading = frame_bytes(counted.shape, precision) / 3600 / device.link

    def of(seconds: Callable[[Counts], float], loading: float = 0.0) -> Prediction:
        return _predicted(task, recipe, counted.shape, _cost(counts, seconds), loading, precision)

    parts = {str(part): of(functools.partial(device.part, part)) for part in PARTS}
    nothing = _cost(counts, lambda _: 0.0)
    read = Cost(counts.decoding, counts.decoding, 0.0, nothing.pooled, counts.stock_pair)
    return Forecast(
        task=task,
        accelerator=of(device.seconds, loading),
        parts={**parts, "reading": of(lambda _: 0.0, loading)},
        host=_predicted(task, recipe, counted.shape, read, 0.0, precision),
        counts=counts,
    )


def _predicted(
    task: TaskSpec, recipe: str, shape: Shape, cost: Cost, loading: float, precision: str
) -> Prediction:
    return predict(task, recipe, Rates(shape=shape, loading=loading, costs={task.name: cost}), precision)


def _cost(counts: TaskCounts, seconds: Callable[[Counts], float]) -> Cost:
    return Cost(
        trained=seconds(counts.trained),
        alone=seconds(counts.alone),
        step=seconds(counts.step),
        pooled=None if counts.pooled is None else seconds(counts.pooled),
        our_pair=seconds(counts.our_pair),
    )


@dataclass(frozen=True)
class Check:
    """The formula's hours of stock s3prl for a task, and the published ones, low and high."""

    task: TaskSpec
    formula: float
    published: tuple[float, float]

    @property
    def factors(self) -> tuple[float, float]:
        """How many times the formula's hours the published ones are."""
        low, high = (hours / self.formula for hours in self.published)
        return low, high


def checks(operation: float) -> Iterator[Check]:
    """Of every task whose hours of stock s3prl on an H100 were published (`cost.hours` of tasks.json)."""
    stock, h100 = stock_counts(), dataclasses.replace(accelerators.named("h100"), operation=operation)
    for name in stock.tasks:
        task = tasks.get(name)
        low, high = (float(number) for number in (task.cost.hours.split("-") * 2)[:2])
        yield Check(task, forecast(task, "superb", stock, h100).hours("off"), (low, high))


def stock_counts() -> Counted:
    """The counts in STOCK."""
    held = json.loads(STOCK.read_text(encoding="utf-8"))
    tasks = {name: _read(task) for name, task in held["tasks"].items()}
    return Counted(Shape(**held["shape"]), tasks, held["operation"])


def _read(task: Mapping[str, Any]) -> TaskCounts:
    found: dict[str, Any] = {
        key: Counts(**one) if isinstance(one, dict) else one for key, one in task.items()
    }
    return TaskCounts(**found)
