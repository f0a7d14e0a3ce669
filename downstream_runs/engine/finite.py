"""Numbers that are not finite, and what becomes of them.

A NaN among scores has an argmax, class 0, and would count as an answer: an evaluation refuses it.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from downstream_runs.core.records import Journal
from downstream_runs.engine.late import LateNumbers
from upstream_arm.common.errors import Diverged, RunFailed


@dataclass
class Watch:
    """The batches of one evaluation. names: the utterances of the batch that is computed now.

    On a device what it finds is raised by `finish`, at the end of the batch, with one wait for all of it.
    """

    split: str
    step: int
    names: list[str] = field(default_factory=list)
    numbers: LateNumbers = field(default_factory=LateNumbers)

    def features(self, features: Sequence[Tensor]) -> None:
        """Check the upstream's features `[frame, feature]` of the batch; RunFailed."""
        check(self.numbers, features, functools.partial(self._bad_features, self.names))

    def _bad_features(self, names: Sequence[str], bad: Sequence[int]) -> None:
        # s3prl's diarization has one recording a batch, in pieces.
        one = ", ".join(names[:1]) or "unknown"
        names = [names[row] if row < len(names) else one for row in bad]
        raise bad_features(names, self.split, self.step)

    def records(self, records: Mapping[str, Any]) -> None:
        """Check what s3prl keeps of each utterance of the batch by its name: speaker embeddings; Diverged."""
        known = [name for name in self.names if isinstance(records.get(name), torch.Tensor)]
        self._check("embeddings", known, [records[name] for name in known])

    def output(self, scores: Any) -> None:
        """Check what a part of the head gave, tensors `[utterance, ...]` in any nesting; Diverged."""
        if isinstance(scores, (list, tuple)):
            for one in scores:
                self.output(one)
        elif isinstance(scores, torch.Tensor) and scores.is_floating_point():
            by_utterance = scores.ndim > 1 and len(scores) == len(self.names)
            self._check("scores", self.names, list(scores) if by_utterance else [scores])

    def finish(self) -> None:
        """Raise what was found in the batch."""
        self.numbers.read()

    def _check(self, what: str, names: Sequence[str], tensors: Sequence[Tensor]) -> None:
        def refuse(bad: Sequence[int]) -> None:
            found = [names[row] for row in bad] if len(names) == len(tensors) else names
            raise Diverged(
                f"the head's {what} for {shown(found)} are not finite numbers in the evaluation of "
                f"{self.split} at step {self.step}, and would count as answers; check these files, or start "
                "again with --rerun always and a lower optimizer.lr"
            )

        check(self.numbers, tensors, refuse)


@contextlib.contextmanager
def watched(downstream: nn.Module, split: str, step: int) -> Iterator[Watch]:
    """Check what all parts of an s3prl expert give, but for its loss, which may be infinite (CTC)."""
    watch = Watch(split, step)
    handles = [
        part.register_forward_hook(lambda module, given, found: watch.output(found))
        for name, part in downstream.named_children()
        if name != "objective"
    ]
    try:
        yield watch
    finally:
        for handle in handles:
            handle.remove()


def check(numbers: LateNumbers, tensors: Sequence[Tensor], refuse: Callable[[list[int]], None]) -> None:
    """Have `refuse` called with the places of tensors that hold a value that is not finite, if any does."""
    filled = [(place, tensor.detach()) for place, tensor in enumerate(tensors) if tensor.numel()]
    if not filled:
        return

    def look(largest: Sequence[float]) -> None:
        bad = [place for (place, _), size in zip(filled, largest, strict=True) if not math.isfinite(size)]
        if bad:
            refuse(bad)

    # The largest absolute values: NaN where there is one, and one kernel for all tensors on a GPU.
    numbers.add(torch.stack(torch._foreach_norm([one for _, one in filled], math.inf)), look)


def bad_features(names: Sequence[str], split: str, step: int) -> RunFailed:
    """The sentence for an upstream whose features are not finite."""
    return RunFailed(
        f"the upstream's features of {shown(names)} in {split} are not finite numbers (at step {step}); "
        "check these files, the upstream's weights and --precision, and start the same command again"
    )


def diverged(journal: Journal, step: int, what: str, value: float, names: list[str]) -> Diverged:
    """The error for a loss or gradient that is not finite in that step, which the journal has too."""
    journal.event("not_finite", step, what=what, utterances=names)
    return Diverged(
        f"the {what} is {value} at step {step} (utterances {shown(names)}); check these files, or start "
        "again with --rerun always and a lower optimizer.lr"
    )


def shown(names: Sequence[str]) -> str:
    """Utterances in a sentence: the first four."""
    return ", ".join([*names[:4], *(["..."] if len(names) > 4 else [])]) or "unknown utterances"
