"""A task's head with features for free: s3prl's expert on the task's demo corpus, and a step of its training.

The corpus is synthetic and only gives the expert its labels; features are drawn at random. What is timed is
arithmetic, which does not depend on their values.
"""

from __future__ import annotations

import importlib
import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from downstream_runs.core.task import PreparedData, TaskSpec

SEED = 1337
BATCHES_KEPT = 24

Batch = tuple[list[Any], list[Any]]


def expert_config(config: Mapping[str, Any], data: PreparedData) -> dict[str, Any]:
    """A recipe's configuration as s3prl's parts take it: with the corpus's paths, no loading processes."""
    merged = data.added_to(config)
    for block in merged["downstream_expert"].values():
        if isinstance(block, dict) and "num_workers" in block:
            block["num_workers"] = 0
    return merged


def batch_size(config: Mapping[str, Any]) -> int:
    """Utterances that a training step takes at once, by the configuration."""
    names = ("batch_size", "train_batch_size", "train_batchsize")
    for block in config["downstream_expert"].values():
        if isinstance(block, Mapping):
            for name in names:
                if name in block:
                    return int(block[name])
    raise KeyError(f"none of {', '.join(names)} in the expert's blocks")


@dataclass
class Head:
    """An expert with its optimizer, its batches and, if asked for, the weighted sum of hidden states.

    config: as s3prl gets it. featurizer: s3prl's, or None for a step that begins with summed features.
    """

    task: TaskSpec
    config: Mapping[str, Any]
    expert: Any
    featurizer: Any
    optimizer: torch.optim.Optimizer
    specaug: Any
    device: torch.device

    @property
    def accumulate(self) -> int:
        """Batches a step."""
        return int(self.config["runner"]["gradient_accumulate_steps"])

    def batches(self, most: int = BATCHES_KEPT) -> Iterator[Batch]:
        """Training batches in the recipe's order, the first ones, read beforehand and repeated for ever."""
        try:
            loader = self.expert.get_dataloader(self.task.train_split, epoch=0)
        except TypeError:
            loader = self.expert.get_dataloader(self.task.train_split)
        kept = [(list(wavs), list(others)) for wavs, *others in itertools.islice(loader, most)]
        return itertools.cycle(kept)

    def backward(self, features: Sequence[torch.Tensor], others: Sequence[Any]) -> None:
        """Loss and gradients of one batch of summed features, each `[frame, feature]`."""
        given = list(features)
        if self.specaug is not None:
            given, _ = self.specaug(given)
        loss = self.expert(self.task.train_split, given, *others, records=defaultdict(list))
        (loss / self.accumulate).backward()

    def update(self) -> None:
        """Clip the gradients and step, as after the last batch of a step."""
        import torch

        groups = self.optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, self.config["runner"]["gradient_clipping"])
        self.optimizer.step()
        self.optimizer.zero_grad()


def build(
    task: TaskSpec,
    recipe: str,
    upstream: nn.Module,
    device: torch.device,
    place: Path,
    *,
    summed: bool = False,
    specaug: bool = True,
) -> Head:
    """The head of `task` for an upstream's features, in the order in which s3prl builds its parts.

    place: a folder for the demo corpus and what s3prl writes. summed: leave out the weighted sum of the
    hidden states, so that a step takes summed features. What s3prl and the corpora print goes to
    `place`/log.txt. Raises UsageError for a recipe that the task has not, or where no demo can be made.
    """
    import numpy as np
    import torch

    from downstream_runs import bridge

    bridge.apply()
    place.mkdir(parents=True, exist_ok=True)
    with (place / "log.txt").open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        task.demo(place / "data")
        given = task.recipe(recipe).copy_config()
        config = expert_config(given, task.prepare(place / "data", place / "cache", given))
        from s3prl.optimizers import get_optimizer
        from s3prl.upstream.interfaces import Featurizer

        random.seed(SEED)
        np.random.seed(SEED)
        torch.manual_seed(SEED)
        featurizer = Featurizer(upstream, "hidden_states", device).to(device)
        expert = (
            importlib.import_module(f"s3prl.downstream.{task.s3prl_name}.expert")
            .DownstreamExpert(
                upstream_dim=featurizer.output_dim,
                upstream_rate=featurizer.downsample_rate,
                **config,
                expdir=str(place),
                seed=SEED,
                device=str(device),
                upstream="",
                downstream=task.s3prl_name,
                downstream_variant=None,
            )
            .to(device)
        )
        if task.adjust is not None:
            task.adjust(expert)
        trained = [expert] if summed else [featurizer, expert]
        for module in trained:
            module.train()
        optimizer = get_optimizer(trained, config["runner"]["total_steps"], config["optimizer"])
        masks = None
        if specaug and config.get("specaug"):
            from s3prl.downstream.specaug import SpecAug

            masks = SpecAug(**config["specaug"])
    return Head(task, config, expert, None if summed else featurizer, optimizer, masks, device)
