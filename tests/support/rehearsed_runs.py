"""Runs of tasks on the pretend accelerator, and what their training steps and evaluated batches cost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import rehearsal

from downstream_runs.engine import components, finite, train
from downstream_runs.features.extractor import FeatureExtractor

OURS = ("downstream_runs/", "upstream_arm/")
"""How lines of ours begin, as the counts name them; s3prl's heads wait and copy by themselves."""


@dataclass
class Costs:
    """steps: each from its first batch to its new weights, without what is encoded to be stored. batches:
    evaluated ones, from their features on."""

    steps: list[rehearsal.Counts] = field(default_factory=list)
    batches: list[rehearsal.Counts] = field(default_factory=list)


@contextlib.contextmanager
def on_device() -> Iterator[Costs]:
    """Put runs on the pretend device."""
    costs, passes, update = Costs(), train.Trainer.backward, train.Trainer.update
    look, finish = finite.Watch.features, finite.Watch.finish
    encode = FeatureExtractor._of_step
    open_batch = contextlib.ExitStack()

    def backward(trainer: Any, *batch: Any) -> None:
        with rehearsal.counting() as counts:
            passes(trainer, *batch)
        if not trainer.backwards % trainer.accumulated:
            costs.steps.append(rehearsal.Counts())
        costs.steps[-1].add(counts)

    def updated(trainer: Any) -> None:
        with rehearsal.counting() as counts:
            update(trainer)
        costs.steps[-1].add(counts)

    def encoded(extractor: Any, *given: Any) -> Any:
        with rehearsal.counting():
            return encode(extractor, *given)

    def features(watch: Any, *given: Any) -> None:
        costs.batches.append(open_batch.enter_context(rehearsal.counting()))
        look(watch, *given)

    def finished(watch: Any) -> None:
        finish(watch)
        open_batch.close()

    with contextlib.ExitStack() as stack:
        for owner, member, other in (
            (components, "pick_device", lambda name: rehearsal.DEVICE),
            (train.Trainer, "backward", backward),
            (train.Trainer, "update", updated),
            (FeatureExtractor, "_of_step", encoded),
            (finite.Watch, "features", features),
            (finite.Watch, "finish", finished),
        ):
            stack.enter_context(mock.patch.object(owner, member, other))
        stack.enter_context(rehearsal.counting())
        yield costs


def ours(counts: dict[str, int]) -> dict[str, int]:
    """Of waits or copies those that lines of ours caused; what the bridge does is done for s3prl's heads."""
    return {line: count for line, count in counts.items() if line.startswith(OURS) and "/bridge/" not in line}
