"""What tasks ask of an accelerator, in counts; and of its host, in seconds on a core of this machine."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from downstream_runs.core.task import TaskSpec
from downstream_runs.estimate import counts, heads
from downstream_runs.estimate.clock import Clock
from downstream_runs.estimate.counts import NOTHING, Counts
from downstream_runs.estimate.heads import Shape
from downstream_runs.estimate.measure import FEWEST_FRAMES, Searches
from downstream_runs.upstreams.checked import SAMPLE_RATE, CheckedUpstream

CPU = torch.device("cpu")
SHORTER = 0.9
"""An utterance of each batch is as long as that share of the others, so that the batch is padded."""
READ_BATCHES = 3
SMALL_LAYERS, REPEATS = 100, 30


@dataclass(frozen=True)
class TaskCounts:
    """The counts of what `measure.Cost` has the seconds of, by the same names; and what the host does.

    decoding: CPU seconds to read and decode a second of audio. stock_pair: of s3prl's search, which computes
    on no accelerator. workers: processes that do this.
    """

    trained: Counts
    alone: Counts
    step: Counts = NOTHING
    pooled: Counts | None = None
    our_pair: Counts = NOTHING
    decoding: float = 0.0
    stock_pair: float = 0.0
    workers: int = 1


@dataclass(frozen=True)
class Counted:
    """All counts, by task. operation: CPU seconds of this machine for one of torch's operations."""

    shape: Shape
    tasks: Mapping[str, TaskCounts]
    operation: float


def count(
    upstream: CheckedUpstream, tasks: Iterable[TaskSpec], recipe: str, place: Path, bar: Callable[..., Any]
) -> Counted:
    """Count what tasks take with an upstream on the CPU.

    place: a folder for demo corpora. bar: of progress, tqdm's arguments.
    """
    upstream.eval()
    shape, found = Shape.of(upstream, CPU), {}
    with bar(list(tasks), desc="count", unit="task") as shown:
        for task in shown:
            shown.set_postfix_str(task.name)
            one = _searched if task.train_split is None else _trained
            found[task.name] = one(upstream, shape, task, recipe, place)
    return Counted(shape, found, _operation())


def _operation() -> float:
    """Of small layers, forward and backward: the host's work alone, and at best, as others may be busy."""
    layers = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(SMALL_LAYERS)))
    given, clock = torch.randn(1, 4), Clock(CPU)

    def call() -> None:
        layers(given).sum().backward()

    return min(clock.seconds(call) for _ in range(REPEATS)) / counts.of_call(call).kernels


def _encoded(upstream: CheckedUpstream, batch: int, seconds: float) -> Counts:
    """The counts of a pass, for a second of its audio."""
    samples = int(seconds * SAMPLE_RATE)
    if batch == 1 or upstream.alone:
        return counts.of_pass(upstream.module, [samples]).times(1 / seconds)
    lengths = [samples] * (batch - 1) + [int(SHORTER * samples)]
    return counts.of_pass(upstream.module, lengths).times(1 / (batch * seconds))


def _trained(upstream: CheckedUpstream, shape: Shape, task: TaskSpec, recipe: str, place: Path) -> TaskCounts:
    head = heads.build(task, recipe, upstream, CPU, place)
    wavs, others = next(head.batches(most=1))
    frames, longer, more = head.real_frames(shape, wavs)
    lengths = [max(round(length), FEWEST_FRAMES) for length in frames]
    update = _updated(head)
    given = task.recipes[recipe].config["downstream_expert"].values()
    blocks = [block for block in given if isinstance(block, Mapping)]

    def step(backward: Callable[[], None], longer: float) -> Counts:
        return counts.of_call(backward).larger(more, longer).times(head.accumulate) + update

    return TaskCounts(
        trained=_encoded(upstream, task.batch_size(head.config), task.trained_seconds),
        alone=_encoded(upstream, 1, task.trained_seconds),
        step=step(head.on_noise(shape, lengths, others), longer),
        pooled=step(head.on_means(shape, others), 1.0) if task.pooled else None,
        decoding=_decoding(head),
        workers=next((block["num_workers"] for block in blocks if "num_workers" in block), 1),
    )


def _updated(head: heads.Head) -> Counts:
    """The counts of the optimizer's step, once it has its state, on lists of tensors as on a GPU."""
    parameters = [one for group in head.optimizer.param_groups for one in group["params"]]
    for group in head.optimizer.param_groups:
        group["foreach"] = True
    for _ in range(2):
        for one in parameters:
            one.grad = torch.zeros_like(one)
        found = counts.of_call(head.update)
    return found


def _decoding(head: heads.Head) -> float:
    """CPU seconds for a second of audio of what s3prl's data set does to give a batch, in this process."""
    batches = iter(head.parts.loader(str(head.task.train_split)))
    next(batches)  # reads what the first one reads for all
    began, samples = time.thread_time(), 0
    for wavs, *_ in itertools.islice(batches, READ_BATCHES):
        samples += sum(map(len, wavs))
    return (time.thread_time() - began) / (samples / SAMPLE_RATE)


def _searched(upstream: CheckedUpstream, shape: Shape, task: TaskSpec, *_: Any) -> TaskCounts:
    searches, clock = Searches.of(task, shape, CPU), Clock(CPU)
    alone = _encoded(upstream, 1, task.corpus.splits["documents"].mean_seconds)
    searches.ours()
    return TaskCounts(
        trained=alone,
        alone=alone,
        our_pair=counts.of_call(searches.ours).times(1 / searches.our_pairs),
        stock_pair=clock.seconds(searches.stock) / searches.stock_pairs,
    )
