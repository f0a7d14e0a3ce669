"""From a measurement to the hours and the disk of a task's full recipe: arithmetic only.

Assumptions, beside those of the corpora's declarations and `measure`: an utterance costs a third of what it
adds to a training step of the head when it is evaluated (forward alone); each evaluation encodes one at a
time; audio is read by other processes while the device computes; s3prl's sweep of QbE encodes and searches
every layer of both splits. A run's checkpoints and its own start are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from downstream_runs.core.corpus import Split
from downstream_runs.core.task import TaskSpec
from downstream_runs.estimate import heads
from downstream_runs.estimate.measure import Cost, Measurement, SearchCost, Shape

PRECISION_BYTES: Mapping[str, int] = {"fp16": 2, "bf16": 2, "fp32": 4}
POOLED_VECTORS = 2
"""Stored of a pooled utterance: the sum over its frames and its last frame, each in fp32."""

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Prediction:
    """Hours of a task's full recipe (all folds), and bytes of its store.

    off: with the upstream in every pass, as s3prl does. extraction, training, evaluation: with the store.
    kind: what is stored, `pooled` or `frames`. reads: the corpus whose store the task uses.
    """

    task: str
    off: float
    extraction: float
    training: float
    evaluation: float
    kind: str
    store_bytes: float
    corpus: str

    @property
    def stored(self) -> float:
        """Hours with the store."""
        return self.extraction + self.training + self.evaluation


def frame_bytes(shape: Shape, precision: str) -> float:
    """Of one hour of audio's frames, all layers."""
    frames = 3600 * SAMPLE_RATE / shape.rate
    return frames * shape.layers * shape.features * PRECISION_BYTES[precision]


def pooled_bytes(shape: Shape) -> float:
    """Of one utterance's vectors, all layers."""
    return float(POOLED_VECTORS * shape.layers * shape.features * 4)


def predict(task: TaskSpec, recipe: str, found: Measurement, precision: str = "fp16") -> Prediction:
    """The hours and the store of a task by that recipe (superb or paper)."""
    splits, cost = task.corpus.splits, found.costs[task.name]
    if task.train_split is None:
        if found.search is None:
            raise ValueError(f"the measurement has no search for {task.name}")
        return _search(task, splits, cost, found.search, found.shape)
    config: Mapping[str, Any] = task.recipes[recipe].config
    runner, folds = config["runner"], max(len(task.folds), 1)
    steps = runner["total_steps"]
    utterances = round(heads.batch_size(config) * task.batch_share)
    utterances *= runner["gradient_accumulate_steps"]
    encoded = utterances * task.trained_seconds * cost.trained
    off = steps * (encoded + cost.step)
    random = task.random_share
    if cost.pooled is not None:
        step = cost.pooled
    else:
        step = cost.step + (1 - random) * utterances * task.trained_seconds * found.loading
    training = steps * (random * encoded + step)
    tested = _evaluated(task, runner)
    stored = {name: split for name, split in splits.items() if name != "train" or random < 1}
    audio = sum(split.hours for split in stored.values())
    evaluation = 0.0
    for name, times in tested.items():
        split = splits.get(name, Split(0, 0.0))
        share = split.hours * 3600 / (utterances * task.trained_seconds)
        off += times * (split.hours * 3600 * cost.alone + share * cost.step / 3)
        evaluation += times * (
            split.utterances / utterances * step / 3 if cost.pooled is not None else share * step / 3
        )
    # A fold's splits share one store.
    pooled = cost.pooled is not None
    size = (
        sum(split.utterances for split in stored.values()) * pooled_bytes(found.shape)
        if pooled
        else audio * frame_bytes(found.shape, precision)
    )
    return Prediction(
        task=task.name,
        off=folds * off / 3600,
        extraction=audio * cost.alone,
        training=folds * training / 3600,
        evaluation=folds * evaluation / 3600,
        kind="pooled" if pooled else "frames",
        store_bytes=size,
        corpus=task.corpus.name,
    )


def _evaluated(task: TaskSpec, runner: Mapping[str, Any]) -> dict[str, float]:
    """How often each split is evaluated: in training, and the test once or for each kept checkpoint."""
    times = {"test": float(max(task.kept_checkpoints, 1))}
    for name in runner["eval_dataloaders"]:
        split = name.partition("-")[0]
        times[split] = times.get(split, 0.0) + runner["total_steps"] / runner["eval_step"]
    return times


def _search(
    task: TaskSpec, splits: Mapping[str, Split], cost: Cost, search: SearchCost, shape: Shape
) -> Prediction:
    second = SAMPLE_RATE / shape.rate
    documents = splits["documents"].hours * 3600 * second
    pairs = {name: splits[name].hours * 3600 * second * documents for name in ("dev", "test")}
    audio = task.corpus.hours
    each = [splits["documents"].hours + splits[name].hours for name in pairs]
    return Prediction(
        task=task.name,
        off=shape.layers * (sum(each) * cost.alone + sum(pairs.values()) * search.stock / 3600),
        extraction=audio * cost.alone,
        training=0.0,
        evaluation=(shape.layers * pairs["dev"] + pairs["test"]) * search.ours / 3600,
        kind="frames",
        store_bytes=audio * frame_bytes(shape, "fp32"),
        corpus=task.corpus.name,
    )


def totals(rows: list[Prediction]) -> tuple[float, float, float]:
    """Hours off, hours stored, bytes: a corpus's frames that tasks share are extracted and stored once."""
    off, stored, size = 0.0, 0.0, 0.0
    seen: set[tuple[str, str]] = set()
    for row in rows:
        off += row.off
        stored += row.training + row.evaluation
        if (row.corpus, row.kind) not in seen:
            stored += row.extraction
            size += row.store_bytes
        seen.add((row.corpus, row.kind))
    return off, stored, size
