"""About a minute of measurement on this machine: an upstream, the heads of tasks, and QbE's search.

Long things are measured in part and taken in proportion: an upstream's pass on fewer utterances than a batch
has, a head's step on shorter ones, both linear in the audio. Attention grows faster than that, so lengths are
the tasks' own. All features are random: time does not depend on their values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.estimate import heads

if TYPE_CHECKING:
    import torch
    from torch import nn

    from downstream_runs.core.task import TaskSpec

SAMPLE_RATE = 16_000
PASS_SECONDS = 2.0
"""An upstream's pass takes a batch of about so many seconds of computation at most."""
STEP_SECONDS = 8.0
FEWEST_FRAMES = 20  # an x-vector needs 15
QUERY_FRAMES, QUERIES, SEARCHED_SECONDS, PAIRS = 100, 10, 60.0, 4
"""A query of 2 seconds against a minute of documents; s3prl's own search against so many of them."""


@dataclass(frozen=True)
class Shape:
    """An upstream's hidden states: layers, features, and samples from one frame to the next."""

    layers: int
    features: int
    rate: int


@dataclass(frozen=True)
class Cost:
    """Seconds that a task takes here.

    trained, alone: the upstream's, per second of audio in the recipe's batches and one utterance at a time.
    step: the head's, of an optimizer step on features of real lengths; pooled: the same on one vector an
    utterance, None where the head needs frames.
    """

    trained: float
    alone: float
    step: float = 0.0
    pooled: float | None = None


@dataclass(frozen=True)
class SearchCost:
    """Seconds per pair of a query frame and a document frame, of s3prl's search and of ours."""

    stock: float
    ours: float


@dataclass(frozen=True)
class Measurement:
    """All that a prediction needs of this machine; seconds: how long the measuring took.

    loading: seconds to bring a second of stored audio's frames to where the head takes them.
    """

    device: str
    threads: int
    seconds: float
    shape: Shape
    loading: float
    costs: dict[str, Cost] = field(default_factory=dict)
    search: SearchCost | None = None


def measure(
    upstream: nn.Module,
    device: torch.device,
    tasks: Iterable[TaskSpec],
    recipe: str,
    place: Path,
    bar: Callable[..., Any],
) -> Measurement:
    """Measure what the tasks need. place: a folder for demo corpora. bar: of progress, tqdm's arguments."""
    import torch

    began = time.perf_counter()
    timer = _Upstream(upstream.eval(), device)
    costs, search = {}, None
    chosen = list(tasks)
    with bar(chosen, desc="measure", unit="task") as shown:
        for task in shown:
            shown.set_postfix_str(task.name)
            if task.train_split is None:
                documents = task.corpus.splits["documents"].mean_seconds
                rate = timer.rate(1, documents)
                costs[task.name], search = Cost(rate, rate), _search(timer.shape, documents, device)
            else:
                costs[task.name] = _task(timer, task, recipe, place)
    return Measurement(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        threads=torch.get_num_threads(),
        seconds=time.perf_counter() - began,
        shape=timer.shape,
        loading=_loading(timer.shape, device),
        costs=costs,
        search=search,
    )


def timed(function: Callable[[], Any], device: torch.device) -> float:
    """Seconds of one call, to its end on the device."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


class _Upstream:
    """An upstream and its seconds per second of audio, each batch measured once."""

    def __init__(self, upstream: nn.Module, device: torch.device) -> None:
        self.upstream, self.device = upstream, device
        self._rates: dict[tuple[int, int], float] = {}
        states = self._pass(1, SAMPLE_RATE)["hidden_states"]
        listed = list(states.values()) if isinstance(states, dict) else list(states)
        given: Any = getattr(upstream, "get_downsample_rates", None)
        rate = given("hidden_states") if given else round(SAMPLE_RATE / listed[0].shape[1])
        self.shape = Shape(len(listed), listed[0].shape[-1], rate)

    def rate(self, batch: int, seconds: float) -> float:
        """Of a batch of so many utterances of that length, or of as many as PASS_SECONDS allow."""
        samples = int(seconds * SAMPLE_RATE)
        if (1, samples) not in self._rates:
            self._pass(1, samples)
            self._rates[1, samples] = self._measured(1, samples)
        alone = self._rates[1, samples]
        size = max(min(batch, int(PASS_SECONDS / (alone * seconds))), 1)
        if (size, samples) not in self._rates:
            if self.device.type == "cuda":
                self._pass(size, samples)
            self._rates[size, samples] = self._measured(size, samples)
        return self._rates[size, samples]

    def _measured(self, batch: int, samples: int) -> float:
        seconds = timed(lambda: self._pass(batch, samples), self.device)
        return seconds / (batch * samples / SAMPLE_RATE)

    def _pass(self, batch: int, samples: int) -> Any:
        import torch

        wavs = [torch.randn(samples, device=self.device) * 0.1 for _ in range(batch)]
        with torch.no_grad():
            return self.upstream(wavs)


def _task(timer: _Upstream, task: TaskSpec, recipe: str, place: Path) -> Cost:
    head = heads.build(task, recipe, timer.upstream, timer.device, place)
    seconds = task.trained_seconds
    batch = round(heads.batch_size(head.config) * task.batch_share)
    wavs, others = next(head.batches(most=1))
    here = sum(len(wav) for wav in wavs) / SAMPLE_RATE / len(wavs)
    # Where labels are of frames, features cannot be of another length than the demo's.
    stretch = 1.0 if task.frame_labels else seconds / here
    frames = [len(wav) / timer.shape.rate * stretch for wav in wavs]
    fraction = 0.1 if stretch != 1.0 else 1.0
    first = _step(head, timer.shape, frames, fraction, others)
    whole = min(STEP_SECONDS * fraction / first, 1.0)
    step = _step(head, timer.shape, frames, max(whole, fraction), others) / max(whole, fraction)
    longer = seconds / (here * stretch) * batch / len(wavs)
    return Cost(
        trained=timer.rate(batch, seconds),
        alone=timer.rate(1, seconds),
        step=step * longer,
        pooled=_step(head, timer.shape, [1.0] * len(wavs), 1.0, others) if task.pooled else None,
    )


def _step(head: heads.Head, shape: Shape, frames: list[float], fraction: float, others: list[Any]) -> float:
    """Seconds of an optimizer step on utterances of `fraction` of so many frames."""
    import torch

    lengths = [max(round(count * fraction), FEWEST_FRAMES if max(frames) > 1 else 1) for count in frames]
    state = torch.randn(len(lengths), max(lengths), shape.features, device=head.device)
    paired = [torch.empty(length * shape.rate, device=head.device) for length in lengths]

    def backward() -> None:
        hidden = {"hidden_states": [state] * shape.layers}
        head.backward(head.featurizer(paired, hidden), others)

    return head.accumulate * timed(backward, head.device) + timed(head.update, head.device)


def _loading(shape: Shape, device: torch.device) -> float:
    """Seconds to bring a second of fp16 frames to fp32 on the device; the disk itself is not measured."""
    import torch

    frames = 10 * SAMPLE_RATE // shape.rate
    item = torch.randn(shape.layers, frames, shape.features).half()
    timed(lambda: item.to(device).float(), device)
    return timed(lambda: item.to(device).float().clone(), device) / 10


def _search(shape: Shape, seconds: float, device: torch.device) -> SearchCost:
    import numpy as np
    import torch
    from s3prl.downstream.quesst14_dtw import expert

    from downstream_runs.protocols import dtw

    frames = round(seconds * SAMPLE_RATE / shape.rate)
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

    def ours() -> None:
        dtw.costs([query] * QUERIES, documents)

    ours()
    pair = QUERY_FRAMES * frames
    return SearchCost(timed(stock, device) / (PAIRS * pair), timed(ours, device) / (QUERIES * count * pair))
