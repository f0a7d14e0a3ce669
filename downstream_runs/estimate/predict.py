"""From the rates of a machine to the hours and the disk of a task's full recipe: arithmetic only.

Assumptions, beside those of the corpora's declarations and `measure`: an utterance costs a third of what it
adds to a training step of the head when it is evaluated (forward alone); each evaluation encodes one at a
time; audio is read by other processes while the device computes; s3prl's sweep of a search encodes and
searches every layer of both splits. A run's checkpoints and its own start are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from downstream_runs.core.corpus import Split
from downstream_runs.core.task import TaskSpec
from downstream_runs.estimate.heads import Shape
from downstream_runs.estimate.measure import SAMPLE_RATE, Cost, Rates

PRECISION_BYTES: Mapping[str, int] = {"fp16": 2, "bf16": 2, "fp32": 4}
POOLED_VECTORS = 2
"""Stored of a pooled utterance: the sum over its frames and its last frame, each in fp32."""


@dataclass(frozen=True)
class Prediction:
    """Hours of a task's full recipe (all folds), and bytes of its store, at least and at most.

    off: with the upstream in every pass, as s3prl does. extraction, training, evaluation: with the store.
    kind: what is stored, `pooled` or `frames`.
    """

    task: TaskSpec
    off: float
    extraction: float
    training: float
    evaluation: float
    kind: str
    store_bytes: tuple[float, float]

    @property
    def stored(self) -> float:
        """Hours with the store."""
        return self.extraction + self.training + self.evaluation


def frame_bytes(shape: Shape, precision: str) -> float:
    """Of one hour of audio's frames, all layers."""
    return 3600 * SAMPLE_RATE / shape.rate * shape.layers * shape.features * PRECISION_BYTES[precision]


def pooled_bytes(shape: Shape) -> float:
    """Of one utterance's vectors, all layers."""
    return float(POOLED_VECTORS * shape.layers * shape.features * 4)


def predict(task: TaskSpec, recipe: str, measured: Rates, precision: str = "fp16") -> Prediction:
    """The hours and the store of a task by that recipe (superb or paper)."""
    splits, cost = task.corpus.splits, measured.costs[task.name]
    if task.train_split is None:
        return _search(task, cost, measured.shape)
    config: Mapping[str, Any] = task.recipes[recipe].config
    runner, random, pooled = config["runner"], task.random_share, cost.pooled is not None
    utterances = task.batch_size(config) * runner["gradient_accumulate_steps"]
    seconds = utterances * task.trained_seconds  # of audio, a step
    step = cost.step + (1 - random) * seconds * measured.loading if cost.pooled is None else cost.pooled
    off = runner["total_steps"] * (seconds * cost.trained + cost.step)
    training = runner["total_steps"] * (random * seconds * cost.trained + step)
    evaluation = 0.0
    for name, times in task.evaluations(runner).items():
        split = splits.get(name, Split(0, 0.0))
        steps = split.hours * 3600 / seconds
        off += times * (split.hours * 3600 * cost.alone + steps * cost.step / 3)
        evaluation += times * (split.utterances / utterances if pooled else steps) * step / 3
    least, most = (
        kept.utterances * pooled_bytes(measured.shape)
        if pooled
        else kept.hours * frame_bytes(measured.shape, precision)
        for kept in (task.stored(most=False), task.stored(most=True))
    )
    folds = max(len(task.folds), 1)  # whose splits share one store
    return Prediction(
        task=task,
        off=folds * off / 3600,
        extraction=task.stored(most=False).hours * cost.alone,
        training=folds * training / 3600,
        evaluation=folds * evaluation / 3600,
        kind="pooled" if pooled else "frames",
        store_bytes=(least, most),
    )


def _search(task: TaskSpec, cost: Cost, shape: Shape) -> Prediction:
    hours = {name: split.hours for name, split in task.corpus.splits.items()}
    frames = {name: 3600 * SAMPLE_RATE / shape.rate * one for name, one in hours.items()}
    dev, test = (frames[name] * frames["documents"] for name in ("dev", "test"))
    encoded = (2 * hours["documents"] + hours["dev"] + hours["test"]) * cost.alone
    return Prediction(
        task=task,
        off=shape.layers * (encoded + (dev + test) * cost.stock_pair / 3600),
        extraction=task.corpus.hours * cost.alone,
        training=0.0,
        evaluation=(shape.layers * dev + test) * cost.our_pair / 3600,
        kind="frames",
        store_bytes=(task.corpus.hours * frame_bytes(shape, "fp32"),) * 2,
    )


def totals(rows: Sequence[Prediction]) -> tuple[float, float, tuple[float, float]]:
    """Hours off and stored, least and most bytes: frames that tasks share are extracted and stored once."""
    shared = {(row.task.corpus.name, row.kind): row for row in reversed(rows)}.values()
    stored = sum(row.training + row.evaluation for row in rows) + sum(row.extraction for row in shared)
    least, most = (sum(row.store_bytes[end] for row in shared) for end in (0, 1))
    return sum(row.off for row in rows), stored, (least, most)
