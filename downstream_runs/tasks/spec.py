"""What a downstream task is: its corpus, splits, metrics, selection rule and recipes, as frozen data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Corpus:
    """The corpus of a task: where it comes from and under which terms."""

    name: str
    licence: str
    size: str
    url: str


@dataclass(frozen=True)
class MetricSpec:
    """One number that a task reports, and how it is called in s3prl's own log.

    `scalar` is s3prl's logger name with `{split}` to fill in, its value in `unit` too; None if s3prl has
    no such number. `official`: one of SUPERB's own, as opposed to information.
    """

    name: str
    title: str
    unit: Literal["percent", "fraction"]
    better: Literal["lower", "higher"]
    scalar: str | None
    official: bool = True


@dataclass(frozen=True)
class Selection:
    """The checkpoint that is reported: the best `metric` on `split`; of equal ones the earliest.

    `s3prl_bound`: s3prl keeps a checkpoint only if its value is better than this; we always keep the best.
    """

    split: str
    metric: str
    artefact: str
    s3prl_bound: float


@dataclass(frozen=True)
class Recipe:
    """One way to train a task: the configuration that s3prl's parts are given, without any data path.

    `config` has s3prl's blocks: runner, optimizer, downstream_expert and, where used, scheduler and specaug.
    """

    name: str
    config: Mapping[str, Any]
    note: str
    source: str
    labels: tuple[str, ...] = ()

    def copy_config(self) -> dict[str, Any]:
        """A copy that may be changed; the recipe itself never is."""
        return copy.deepcopy(dict(self.config))


@dataclass(frozen=True)
class PreparedData:
    """A corpus ready for s3prl: `settings` for its datarc block, utterances per split, and a content hash.

    `labels` and `deviations` say how a made corpus differs from the real one.
    """

    root: Path
    settings: Mapping[str, Any]
    utterances: Mapping[str, int]
    sha256: str
    labels: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Score:
    """One metric of one split as our own scorer counts it.

    `value` is in the metric's unit; `counts` are what it was computed from, `utterances` always among them.
    """

    metric: str
    value: float
    counts: Mapping[str, int]


@dataclass(frozen=True)
class TaskSpec:
    """One downstream task, complete.

    `prepare(data, cache, config)` checks the corpus and writes what s3prl needs (UsageError for bad data);
    `score(folder, split)` counts the errors in the files that s3prl wrote (scoring errors are UsageErrors);
    `used(dataset)` counts the utterances that s3prl's training set really holds.
    `artefacts`: the files, by s3prl's names, that the reported numbers come from.
    `split_batches`: the loss of a batch is the mean over its utterances, so halves can stand for it.
    """

    name: str
    title: str
    s3prl_name: str
    aliases: tuple[str, ...]
    corpus: Corpus
    train_split: str
    dev_splits: tuple[str, ...]
    test_splits: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]
    selection: Selection
    artefacts: tuple[str, ...]
    recipes: Mapping[str, Recipe]
    prepare: Callable[[Path, Path, Mapping[str, Any]], PreparedData]
    score: Callable[[Path, str], tuple[Score, ...]]
    used: Callable[[Any], int]
    split_batches: bool
    variant: str | None = None

    def metric(self, name: str) -> MetricSpec:
        """The metric of that name (KeyError if the task has none such)."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(f"task {self.name} has no metric {name}")
