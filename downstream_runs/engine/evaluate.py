"""One evaluation of one split: s3prl's own steps, then our own count of what it wrote."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from downstream_runs.core.program import PROGRAM
from downstream_runs.core.task import PreparedData, Score, TaskSpec
from downstream_runs.engine import batches, finite
from downstream_runs.engine.parts import Parts, ScalarLog, unreadable, utterance_names
from downstream_runs.engine.state import seed_everything
from upstream_arm.common.errors import RunFailed, UsageError

# s3prl prints the same quotient, computed in another order of float operations.
ROUNDING = 1e-6

TOGETHER = 64
"""Utterances that are evaluated at once where the recipe has one and their means are stored."""


class Bar(Protocol):
    """Makes a progress bar around batches."""

    def __call__(self, items: Any, *, desc: str, total: int) -> Any: ...


@dataclass(frozen=True)
class Evaluation:
    """Numbers of one split at one step: s3prl's scalars by its names, and our scores."""

    split: str
    step: int
    scalars: dict[str, float]
    scores: tuple[Score, ...]

    def value(self, metric: str) -> float:
        """Our value of a metric."""
        return next(score.value for score in self.scores if score.metric == metric)


def evaluate(
    parts: Parts,
    task: TaskSpec,
    data: PreparedData,
    split: str,
    step: int,
    folder: Path,
    bar: Bar,
    reading: batches.Reading,
    fold: str | None = None,
) -> Evaluation:
    """Evaluate `split` with the current weights and leave the parts in the mode that they were in.

    s3prl's files go to `folder`. As in s3prl, the random generators are seeded with the run's seed first and
    stay so afterwards. RunFailed if a batch cannot be read, an utterance was not scored, our number and
    s3prl's disagree, or a feature or score is not a finite number.
    """
    import torch

    seed_everything(parts.seed)
    training = parts.downstream.training
    parts.eval()
    # Means are of each utterance alone: how many are classified at a time changes no prediction.
    part = batches.whole(parts.loader(split), split, TOGETHER if parts.pooled else 1)
    total = len(part.order)
    if total == 0:
        raise UsageError(f"split {split} has no batch to evaluate; see `{PROGRAM} check`")
    records: dict[str, list[Any]] = defaultdict(list)
    log = ScalarLog()
    done = 0
    with torch.no_grad(), finite.watched(parts.downstream, split, step) as watch:
        for wavs, *others in bar(
            _read(batches.read(part, reading, parts.memory(split)), split, step), desc=split, total=total
        ):
            watch.names = utterance_names(others)
            features = parts.features(wavs)
            watch.features(features)
            parts.downstream(split, features, *others, records=records, batch_id=done)
            watch.records(records)
            done += 1
        parts.downstream.log_records(
            split,
            records=records,
            logger=log,
            global_step=step,
            batch_ids=list(range(done)),
            total_batch_num=total,
        )
    if training:
        parts.train()
    evaluation = Evaluation(split, step, log.scalars, task.score(folder, split, log.scalars))
    _check(evaluation, task, data, fold)
    return evaluation


def _read(found: Iterator[Any], split: str, step: int) -> Iterator[Any]:
    while True:
        try:
            batch = next(found)
        except StopIteration:
            return
        except (RuntimeError, OSError, ValueError, AssertionError) as error:
            raise unreadable(split, step, error) from error
        yield batch


def _check(evaluation: Evaluation, task: TaskSpec, data: PreparedData, fold: str | None) -> None:
    """Every utterance counted, and our number the one that s3prl found: else the run stops."""
    listed = data.utterances[evaluation.split]
    for score in evaluation.scores:
        counted = score.counts.get("utterances", listed)
        if counted != listed:
            raise RunFailed(
                f"{counted} of {listed} utterances of {evaluation.split} were evaluated; "
                f"s3prl skips some of the corpus, look at it with `{PROGRAM} check {task.name}`"
            )
        metric = task.metric(score.metric)
        if metric.scalar is None:
            continue
        name = metric.scalar.format(split=evaluation.split, fold=fold)
        theirs = metric.factor * evaluation.scalars.get(name, math.nan)
        if not math.isclose(score.value, theirs, rel_tol=ROUNDING, abs_tol=ROUNDING):
            raise RunFailed(
                f"our {score.metric} of {evaluation.split} is {score.value!r}, s3prl's {name} is {theirs!r}: "
                "one of the two scorers is wrong, so no result is written; report this with the ark files"
            )
