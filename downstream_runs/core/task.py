"""What a downstream task is: its corpus, splits, metrics, selection rule and recipes, as frozen data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from downstream_runs.core.corpus import Corpus, Split
from downstream_runs.core.results import OWN_TASK, Metric
from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import near

if TYPE_CHECKING:
    from downstream_runs.engine.trained_run import TrainedRun


@dataclass(frozen=True)
class MetricSpec:
    """One number that a task reports, and how it is called in s3prl's own log.

    `scalar` is s3prl's logger name with `{split}` and `{fold}` to fill in; None if s3prl has no such number.
    `factor` brings s3prl's number to `unit`: 100 where it logs a fraction and we report percent. `official`:
    one of SUPERB's own, as opposed to information.
    """

    name: str
    title: str
    unit: Literal["percent", "fraction"]
    better: Literal["lower", "higher"]
    scalar: str | None
    factor: float = 1.0
    official: bool = True

    def measured(self, score: Score, split: str, selection: str, *, official: bool) -> Metric:
        """The number as a result holds it: an official one is a headline, any other information."""
        return Metric(
            name=self.name,
            value=score.value,
            unit=self.unit,
            direction=self.better,
            counts=score.counts,
            split=split,
            selection=selection,
            official=official,
            role="headline" if official else "information",
        )


@dataclass(frozen=True)
class Selection:
    """The checkpoint that is reported: the best `metric` on `split`; of equal ones the earliest.

    `s3prl_bound`: s3prl keeps a checkpoint only if its value is better than this, in our unit; we always keep
    the best.
    """

    split: str
    metric: str
    artefact: str
    s3prl_bound: float


@dataclass(frozen=True)
class Recipe:
    """One way to train a task: the configuration that s3prl's parts are given, without any data path.

    `config` has s3prl's blocks: runner, optimizer, downstream_expert and, where used, scheduler and specaug.
    `labels`: what keeps a run of it from being compared with published ones. `deviations`: what every result
    of it says, a sentence each.
    """

    name: str
    config: Mapping[str, Any]
    note: str
    source: str
    labels: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()

    def copy_config(self) -> dict[str, Any]:
        """A copy that may be changed; the recipe itself never is."""
        return copy.deepcopy(dict(self.config))

    @property
    def is_full(self) -> bool:
        """Whether it is meant for a whole corpus, as `demo` and `small` are not."""
        return self.name not in ("demo", "small")


@dataclass(frozen=True)
class Item:
    """One test item's share of a metric: the metric is the sum of numerators over that of denominators.

    `group` is what must be resampled together for an interval: the speaker where the corpus names one, else
    the item itself.
    """

    name: str
    group: str
    numerator: float
    denominator: float


@dataclass(frozen=True)
class Score:
    """One metric of one split as our own scorer counts it.

    `value` is in the metric's unit; `counts` are what it was computed from. `utterances` among them is held
    against the corpus: a score of fewer utterances than the split has stops the run. `items` add up to the
    value, where it is a quotient of sums; the engine writes those of test splits to `items.csv`.
    """

    metric: str
    value: float
    counts: Mapping[str, int]
    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a run of a task's full recipe takes, beside its corpus.

    `hours`: on one H100 with stock s3prl and its default recipe, such as `10-16`, as a user of s3prl
    published them; empty where none are known. They say how tasks compare rather than what your machine will
    need.
    `run_gb`: at most, on the disk, estimated from the size of the head: three checkpoints with the states of
    Adam, and what the protocol keeps. `search_gb`: more until the run ends.
    """

    hours: str = ""
    run_gb: float = 0.2
    search_gb: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One downstream task, complete.

    What it is:
    `s3prl_name`: of s3prl's downstream. `recipes`: by name; `superb` says what is official (see `official`).
    `train_split`: None for a task that trains nothing; its `test` then does all the work.
    `selection`: None where the task's `test` chooses among the kept checkpoints.
    `artefacts`: the files, by s3prl's names (`{fold}` to fill in), that the reported numbers come from.
    `submitted`: files and folders of the run, with `/` behind them, and their places in the leaderboard's
    archive (`{fold}` likewise); none for a task that it does not have.
    `folds`, `fold_key`: the runs that the task expands to, and the setting that names the one at hand; the
    reported value is the mean over all folds; `folds_of(data)` gives those that a partial corpus has.
    `split_keys`: s3prl's split -> the setting that lists the folders of the corpus that it is read from.
    `data_keys`: further settings that decide which recordings and references are used. `fixed_keys`: settings
    that no run may change.
    `kept_checkpoints`: how many checkpoints, evenly spaced over the steps, are kept as `states-STEP.ckpt`.

    `own`: of a task that is none of SUPERB's ten, what defines it (`tasks.own`); its results have it in their
    configuration, and a run is pinned to it, but for the place of the files. `expert`: a class in place of
    the DownstreamExpert of `s3prl_name`, with the same methods.

    What it does:
    `score(folder, split, scalars)` counts the errors in the files that s3prl wrote, or takes over a number
    that s3prl logged and nothing else holds (scoring errors are UsageErrors).
    `test(run)` gives all metrics of the trained run; None: the selected checkpoint on the test splits.
    `check(config, superb)` raises UsageError for settings that the task does not know, beside its official
    ones. `used(dataset)` counts the utterances that s3prl's training set really holds, by default its items.
    `adjust(downstream)` puts right what s3prl's expert made of the corpus, before a batch is drawn; it draws
    no random numbers.

    What may be done with it:
    `split_batches`: the loss of a batch is the mean over its utterances, so halves can stand for it.
    `batch_share`: the part of the recipe's batch that s3prl trains on at once.
    `random_items`: the data set draws random numbers when it reads an item (crops). The engine then seeds
    them per batch, so that they do not depend on the number of loading processes or on a kill.
    `random_share`: an upper bound of the share of training items that are random crops, which a store of
    features does not hold. `crop_seconds`: an utterance that is longer is cropped to that; None: none is.
    `pooled`: the head has only linear maps around mean pooling over frames, so that the mean of an
    utterance's features serves as well as all of them. `frame_labels`: the head has a label for each frame.
    """

    name: str
    title: str
    s3prl_name: str
    aliases: tuple[str, ...] = ()
    corpus: Corpus
    recipes: Mapping[str, Recipe]
    cost: Cost = Cost()
    train_split: str | None = "train"
    dev_splits: tuple[str, ...] = ("dev",)
    test_splits: tuple[str, ...] = ("test",)
    metrics: tuple[MetricSpec, ...]
    selection: Selection | None = None
    artefacts: tuple[str, ...]
    submitted: Mapping[str, str] = field(default_factory=dict)
    folds: tuple[str, ...] = ()
    fold_key: str = ""
    folds_of: Callable[[Path], tuple[str, ...]] | None = None
    split_keys: Mapping[str, str] = field(default_factory=dict)
    data_keys: tuple[str, ...] = ()
    fixed_keys: tuple[str, ...] = ()
    kept_checkpoints: int = 0
    own: Mapping[str, Any] | None = None
    expert: Callable[..., Any] | None = None

    score: Callable[[Path, str, Mapping[str, float]], tuple[Score, ...]]
    test: Callable[[TrainedRun], tuple[Metric, ...]] | None = None
    check: Callable[[Mapping[str, Any], Mapping[str, Any]], None] | None = None
    used: Callable[[Any], int] = len
    adjust: Callable[[Any], None] | None = None

    split_batches: bool = False
    batch_share: float = 1.0
    random_items: bool = False
    random_share: float = 0.0
    crop_seconds: float | None = None
    pooled: bool = False
    frame_labels: bool = False

    @property
    def kind(self) -> str:
        """What its recipes are filed under: of a table of one's own the kind of task, else its name."""
        return str((self.own or {}).get("kind", self.name))

    @property
    def pinned(self) -> dict[str, Any]:
        """What a run of a task of one's own is pinned to: all but where its files are; empty for SUPERB's."""
        own = {
            key: value for key, value in (self.own or {}).items() if key not in ("table", "trials", "file")
        }
        return {OWN_TASK: own} if own else {}

    @property
    def trained_seconds(self) -> float:
        """The mean length of a training item, crops counted as such."""
        seconds = self.corpus.splits["train"].mean_seconds
        return seconds if self.crop_seconds is None else min(seconds, self.crop_seconds)

    def batch_size(self, config: Mapping[str, Any]) -> int:
        """Utterances that are trained on at once, by a recipe's configuration."""
        names = ("batch_size", "train_batch_size", "train_batchsize")
        blocks = [block for block in config["downstream_expert"].values() if isinstance(block, Mapping)]
        size = next(int(block[name]) for block in blocks for name in names if name in block)
        return round(size * self.batch_share)

    def evaluations(self, runner: Mapping[str, Any]) -> dict[str, float]:
        """How often each split is evaluated: in training, and the test once or for each kept checkpoint."""
        times = {"test": float(max(self.kept_checkpoints, 1))}
        for name in runner["eval_dataloaders"]:
            split = name.partition("-")[0]
            times[split] = times.get(split, 0.0) + runner["total_steps"] / runner["eval_step"]
        return times

    def stored(self, *, most: bool) -> Split:
        """What a store of features holds of all splits, at most or at least.

        Training utterances of at most `crop_seconds` are stored; how many are longer is not known, so that
        it may be all of them or none.
        """
        kept = [
            Split.of_mean(split.utterances, self.trained_seconds) if name == "train" else split
            for name, split in self.corpus.splits.items()
            if most or name != "train" or self.crop_seconds is None
        ]
        return Split(sum(split.utterances for split in kept), sum(split.hours for split in kept))

    def selected(self, split: str, step: int, steps: int) -> str:
        """How the reported checkpoint was chosen, in words; split: what the selection's is called."""
        if self.selection is None:
            raise KeyError(f"task {self.name} has no rule of selection")
        metric = self.metric(self.selection.metric)
        how = "lowest" if metric.better == "lower" else "highest"
        return f"{how} {metric.name} on {split}: step {step} of {steps}"

    def metric(self, name: str) -> MetricSpec:
        """The metric of that name (KeyError if the task has none such)."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(f"task {self.name} has no metric {name}")

    def recipe(self, name: str) -> Recipe:
        """The recipe of that name; UsageError with near names for an unknown one."""
        if name not in self.recipes:
            raise UsageError(
                f"task {self.name} has no recipe {name!r}{near(name, self.recipes)}; "
                f"its recipes are: {', '.join(self.recipes)}, or the path of a FILE.yaml of your own"
            )
        return self.recipes[name]
