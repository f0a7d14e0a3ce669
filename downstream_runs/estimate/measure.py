"""About a minute of measurement on this machine: an upstream, the heads of tasks, and a search like QbE's.

Long things are measured in part and taken in proportion: an upstream's pass on fewer utterances than a batch
has, a head's step on shorter ones, both linear in the audio. Attention grows faster than that, so lengths are
the tasks' own. All features are random: time does not depend on their values.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from downstream_runs.core.task import TaskSpec
from downstream_runs.estimate import heads
from downstream_runs.estimate.clock import Busy, Clock
from downstream_runs.estimate.heads import Shape
from downstream_runs.upstreams.checked import SAMPLE_RATE, CheckedUpstream
from upstream_arm.common import devices

PASS_SECONDS = 2.0
"""An upstream's pass takes a batch of about so many seconds of computation at most."""
STEP_SECONDS = 8.0
FEWEST_FRAMES = 20  # an x-vector needs 15
QUERY_FRAMES, QUERIES, SEARCHED_SECONDS, PAIRS = 100, 10, 60.0, 4
"""A query of 2 seconds against a minute of documents; s3prl's own search against so many of them."""


@dataclass(frozen=True)
class Cost:
    """Seconds that a task takes here.

    trained, alone: the upstream's, per second of audio in the recipe's batches and one utterance at a time.
    step: the head's, of an optimizer step on features of real lengths; pooled: the same on one vector an
    utterance, None where the head needs frames. stock_pair, our_pair: of a task that searches, per pair of a
    query frame and a document frame, with s3prl's search and with ours.
    """

    trained: float
    alone: float
    step: float = 0.0
    pooled: float | None = None
    stock_pair: float = 0.0
    our_pair: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Rates:
    """All that a prediction needs of a machine.

    loading: seconds to bring a second of stored audio's frames to where the head takes them. costs: by task.
    """

    shape: Shape
    loading: float
    costs: Mapping[str, Cost]


@dataclass(frozen=True, kw_only=True)
class Measurement(Rates):
    """The rates of this machine; seconds: how long the measuring took."""

    device: str
    seconds: float
    busy: Busy


def measure(
    upstream: CheckedUpstream,
    device: torch.device,
    tasks: Iterable[TaskSpec],
    recipe: str,
    place: Path,
    bar: Callable[..., Any],
) -> Measurement:
    """Measure what the tasks need. place: a folder for demo corpora. bar: of progress, tqdm's arguments."""
    began = time.perf_counter()
    clock = Clock(device)
    timer = _Upstream(upstream.eval(), clock)
    costs = {}
    with bar(list(tasks), desc="measure", unit="task") as shown:
        for task in shown:
            shown.set_postfix_str(task.name)
            one = _searched(timer, task) if task.train_split is None else _trained(timer, task, recipe, place)
            costs[task.name] = one
    return Measurement(
        device=devices.name(device),
        seconds=time.perf_counter() - began,
        busy=clock.busy(),
        shape=timer.shape,
        loading=_loading(timer.shape, clock),
        costs=costs,
    )


class _Upstream:
    """An upstream and its seconds per second of audio, each batch measured once."""

    def __init__(self, upstream: CheckedUpstream, clock: Clock) -> None:
        self.upstream, self.clock, self.device = upstream, clock, clock.device
        self._rates: dict[tuple[int, int], float] = {}
        self.shape = Shape.of(upstream, self.device)

    def rate(self, batch: int, seconds: float) -> float:
        """Of a batch of so many utterances of that length, or of as many as PASS_SECONDS allow."""
        samples = int(seconds * SAMPLE_RATE)
        alone = self._rate(1, samples, warm=True)
        size = max(min(batch, int(PASS_SECONDS / (alone * seconds))), 1)
        return self._rate(size, samples, warm=self.device.type != "cpu")

    def _rate(self, batch: int, samples: int, warm: bool) -> float:
        if (batch, samples) not in self._rates:
            if warm:
                self._pass(batch, samples)
            seconds = self.clock.seconds(lambda: self._pass(batch, samples))
            self._rates[batch, samples] = seconds / (batch * samples / SAMPLE_RATE)
        return self._rates[batch, samples]

    def _pass(self, batch: int, samples: int) -> Any:
        wavs = [torch.randn(samples, device=self.device) * 0.1 for _ in range(batch)]
        with torch.no_grad():
            return self.upstream(wavs)


def _trained(timer: _Upstream, task: TaskSpec, recipe: str, place: Path) -> Cost:
    head = heads.build(task, recipe, timer.upstream, timer.device, place)
    seconds = task.trained_seconds
    batch = task.batch_size(head.config)
    wavs, others = next(head.batches(most=1))
    frames, longer, more = head.real_frames(timer.shape, wavs)
    fraction = 1.0 if task.frame_labels else 0.1
    first = _step(timer.clock, head, head.on_noise(timer.shape, _shortened(frames, fraction), others))
    whole = max(min(STEP_SECONDS * fraction / first, 1.0), fraction)
    step = _step(timer.clock, head, head.on_noise(timer.shape, _shortened(frames, whole), others))
    return Cost(
        trained=timer.rate(batch, seconds),
        alone=timer.rate(1, seconds),
        step=step / whole * longer * more,
        pooled=_step(timer.clock, head, head.on_means(timer.shape, others)) if task.pooled else None,
    )


def _shortened(frames: list[float], fraction: float) -> list[int]:
    """Lengths of so much of them, and of no fewer than a head needs."""
    return [max(round(count * fraction), FEWEST_FRAMES) for count in frames]


def _step(clock: Clock, head: heads.Head, backward: Callable[[], None]) -> float:
    """Seconds of an optimizer step."""
    return head.accumulate * clock.seconds(backward) + clock.seconds(head.update)


def _loading(shape: Shape, clock: Clock) -> float:
    """Seconds to bring a second of fp16 frames to fp32 on the device; the disk itself is not measured."""
    frames = 10 * SAMPLE_RATE // shape.rate
    item = torch.randn(shape.layers, frames, shape.features).half()
    clock.seconds(lambda: item.to(clock.device).float())
    return clock.seconds(lambda: item.to(clock.device).float().clone()) / 10


@dataclass(frozen=True)
class Searches:
    """A search by s3prl's code and by ours, as calls, and the pairs of frames that each looks at."""

    stock: Callable[[], Any]
    ours: Callable[[], Any]
    stock_pairs: int
    our_pairs: int

    @classmethod
    def of(cls, task: TaskSpec, shape: Shape, device: torch.device) -> Searches:
        """In documents as long as the task's, of random frames."""
        from s3prl.downstream.quesst14_dtw import expert

        from downstream_runs.protocols import dtw

        frames = round(task.corpus.splits["documents"].mean_seconds * SAMPLE_RATE / shape.rate)
        count = max(round(SEARCHED_SECONDS * SAMPLE_RATE / shape.rate / frames), 1)
        query = dtw.unit_(torch.randn(QUERY_FRAMES, shape.features, dtype=torch.float64, device=device))
        spans = dtw.spans([frames] * count)
        joined = torch.randn(spans[-1].stop, shape.features, dtype=torch.float64, device=device)
        documents = dtw.Documents(dtw.unit_(joined), spans)
        pattern = {"step_pattern": "asymmetric", "keep_internals": False, "distance_only": False}
        settings = {**pattern, "open_begin": True, "open_end": True}
        one, other = np.random.randn(QUERY_FRAMES, shape.features), np.random.randn(frames, shape.features)

        def stock() -> None:
            for _ in range(PAIRS):
                expert.match(one, other, "query", "document", expert.cosine_exp, True, settings)

        pair = QUERY_FRAMES * frames
        ours = functools.partial(dtw.costs, [query] * QUERIES, documents)
        return cls(stock, ours, PAIRS * pair, QUERIES * count * pair)


def _searched(timer: _Upstream, task: TaskSpec) -> Cost:
    searches = Searches.of(task, timer.shape, devices.able(timer.device, devices.FLOAT64))
    searches.ours()
    rate = timer.rate(1, task.corpus.splits["documents"].mean_seconds)
    return Cost(
        trained=rate,
        alone=rate,
        stock_pair=timer.clock.seconds(searches.stock) / searches.stock_pairs,
        our_pair=timer.clock.seconds(searches.ours) / searches.our_pairs,
    )
