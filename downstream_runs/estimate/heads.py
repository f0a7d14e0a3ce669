"""A task's head with features for free: s3prl's expert on the task's demo corpus, and a step of its training.

The corpus is synthetic and only gives the expert its labels; features are drawn at random. What is timed is
arithmetic, which does not depend on their values.
"""

from __future__ import annotations

import copy
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from downstream_runs import bridge
from downstream_runs.core.corpus import PreparedData
from downstream_runs.core.generators import seed_everything
from downstream_runs.core.run import DEFAULT_SEED, RunPlan
from downstream_runs.core.task import TaskSpec
from downstream_runs.engine import components
from downstream_runs.engine.components import Components
from downstream_runs.engine.optimization import make_optimizer
from downstream_runs.features import weighting
from downstream_runs.upstreams.checked import SAMPLE_RATE, CheckedUpstream

SEED = DEFAULT_SEED
BATCHES_KEPT = 24

Batch = tuple[list[Any], list[Any]]
"""Waveforms, and what else s3prl's expert takes with their features."""


def expert_config(config: Mapping[str, Any], data: PreparedData) -> dict[str, Any]:
    """A recipe's configuration as s3prl's parts take it: with the corpus's paths, no loading processes."""
    merged = data.added_to(config)
    for block in merged["downstream_expert"].values():
        if isinstance(block, dict) and "num_workers" in block:
            block["num_workers"] = 0
    return merged


@dataclass(frozen=True)
class Shape:
    """An upstream's hidden states: layers, features, and samples from one frame to the next."""

    layers: int
    features: int
    rate: int

    @classmethod
    def of(cls, upstream: CheckedUpstream, device: torch.device) -> Shape:
        """Of an upstream, from a second of noise."""
        with torch.no_grad():
            layers = upstream.used_layers([torch.randn(SAMPLE_RATE, device=device) * 0.1])
        given: Any = getattr(upstream, "get_downsample_rates", None)
        rate = given(upstream.states) if given else round(SAMPLE_RATE / layers[0].shape[1])
        return cls(len(layers), layers[0].shape[-1], rate)


@dataclass
class Head:
    """An expert with its optimizer and its batches.

    config: as s3prl gets it. specaug: s3prl's SpecAugment, or None.
    """

    task: TaskSpec
    config: Mapping[str, Any]
    parts: Components
    optimizer: torch.optim.Optimizer
    specaug: Any

    @property
    def accumulate(self) -> int:
        """Batches a step."""
        return int(self.config["runner"]["gradient_accumulate_steps"])

    def batches(self, most: int = BATCHES_KEPT) -> Iterator[Batch]:
        """Training batches in the recipe's order, the first ones, read beforehand and repeated for ever."""
        loader = self.parts.loader(str(self.task.train_split))
        kept = [(list(wavs), list(others)) for wavs, *others in itertools.islice(loader, most)]
        return itertools.cycle(kept)

    def real_frames(self, shape: Shape, wavs: Sequence[Any]) -> tuple[list[float], float, float]:
        """The frames that a demo's batch would have at the real corpus's mean length; how many times longer
        the real utterances still are, and how many times more of them the recipe's batch has.

        Where labels are of frames, features cannot be of another length than the demo's.
        """
        here = sum(len(wav) for wav in wavs) / SAMPLE_RATE / len(wavs)
        seconds = self.task.trained_seconds
        stretch = 1.0 if self.task.frame_labels else seconds / here
        more = self.task.batch_size(self.config) / len(wavs)
        return [len(wav) / shape.rate * stretch for wav in wavs], seconds / (here * stretch), more

    def backward(self, features: Sequence[torch.Tensor], others: Sequence[Any]) -> None:
        """Loss and gradients of one batch of summed features, each `[frame, feature]`."""
        given = list(features)
        if self.specaug is not None:
            given, _ = self.specaug(given)
        loss = self.parts.downstream(self.task.train_split, given, *others, records=defaultdict(list))
        (loss / self.accumulate).backward()

    def on_noise(self, shape: Shape, lengths: Sequence[int], others: Sequence[Any]) -> Callable[[], None]:
        """A call of `backward` on random hidden states of so many frames."""
        device, featurizer = self.parts.device, self.parts.featurizer
        state = torch.randn(len(lengths), max(lengths), shape.features, device=device)
        paired = [torch.empty(length * shape.rate, device=device) for length in lengths]
        hidden = {featurizer.feature_selection: [state] * shape.layers}
        return lambda: self.backward(featurizer(paired, hidden), others)

    def on_means(self, shape: Shape, others: Sequence[Any]) -> Callable[[], None]:
        """A call of `backward` on random means over frames, summed as those of stored features are."""
        featurizer = copy.copy(self.parts.featurizer)
        weighting.take_over(featurizer)
        means = torch.randn(len(others[0]), shape.layers, shape.features, device=self.parts.device)
        return lambda: self.backward(featurizer(means), others)

    def update(self) -> None:
        """Clip the gradients and step, as after the last batch of a step."""
        parameters = [one for group in self.optimizer.param_groups for one in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, self.config["runner"]["gradient_clipping"])
        self.optimizer.step()
        self.optimizer.zero_grad()


def build(
    task: TaskSpec,
    recipe: str,
    upstream: Any,
    device: torch.device,
    place: Path,
) -> Head:
    """The head of `task` for an upstream's features, in the order in which s3prl builds its parts.

    place: a folder for the demo corpus and what s3prl writes; what s3prl and the corpora print goes to
    its log.txt. Raises UsageError for a recipe that the task has not, or where no demo can be made.
    """
    bridge.apply()
    place.mkdir(parents=True, exist_ok=True)
    with (place / "log.txt").open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        task.corpus.make_demo(place / "data")
        given = task.recipe(recipe).copy_config()
        config = expert_config(given, task.corpus.prepare(place / "data", place / "cache", given))
        taken = {key: getattr(upstream, key) for key in ("states", "layer") if hasattr(upstream, key)}
        plan = RunPlan(task, recipe, "", place / "data", place, seed=SEED, **taken)
        seed_everything(SEED)
        parts = components.attach(plan, upstream, config, place, device)
        parts.train()
        optimizer = make_optimizer([parts.featurizer, parts.downstream], config)
        return Head(task, config, parts, optimizer, components.make_specaug(config))
