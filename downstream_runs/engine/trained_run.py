"""A run as its task's test works with it: evaluations, and the files of test items."""

from __future__ import annotations

import contextlib
import csv
import functools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import torch

from downstream_runs.core import official
from downstream_runs.core.corpus import PreparedData
from downstream_runs.core.generators import seed_everything
from downstream_runs.core.records import Journal
from downstream_runs.core.results import PARTIAL
from downstream_runs.core.run import RunPlan
from downstream_runs.core.run_folder import ITEMS, PARTIAL_EVALUATION, TRIALS
from downstream_runs.core.task import Score
from downstream_runs.corpora.noise import Mixer
from downstream_runs.engine import batches, finite
from downstream_runs.engine.checkpoints import read_tensors
from downstream_runs.engine.components import Components
from downstream_runs.engine.partial_evaluation import PartialEvaluation
from downstream_runs.upstreams.checked import weights_sha256
from upstream_arm.common import stages
from upstream_arm.common.errors import RunFailed, UsageError
from upstream_arm.common.files import atomic_write_csv
from upstream_arm.common.program import PROGRAM

# s3prl prints the same quotient, computed in another order of float operations.
ROUNDING = 1e-6

TOGETHER = 64
"""Utterances that are evaluated at once where the recipe has one and their means are stored."""


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


@dataclass
class TrainedRun:
    """A run of a task with everything that it is made of.

    config: the recipe with all overrides, without any data path.
    folder: the run directory; what a test finishes goes there, so that a killed run goes on from it.
    labels: what keeps its numbers from being compared with published ones.
    steps: optimizer steps done. skipped: those of them whose gradient was NaN. best: step, value and scores
    of the selected checkpoint, where the task has a rule. deviations: to be added to by the test. artefacts:
    files of `folder`, beside the task's own, that the numbers need. card: of the upstream, for the result.
    mixer: adds noise to the recordings of the test, where the plan asks for it.
    """

    plan: RunPlan
    config: Mapping[str, Any]
    data: PreparedData
    folder: Path
    components: Components
    terminal: IO[str]
    journal: Journal
    reading: batches.Reading
    labels: tuple[str, ...] = ()
    steps: int = 0
    skipped: int = 0
    best: Mapping[str, Any] | None = None
    deviations: list[str] = field(default_factory=list)
    artefacts: list[str] = field(default_factory=list)
    card: Mapping[str, Any] | None = None
    mixer: Mixer | None = None
    _items: list[tuple[str, Score]] = field(default_factory=list)

    def bar(self, items: Any, *, desc: str, total: int, initial: int = 0) -> Any:
        """A progress bar on the terminal around batches, which shows the run's labels."""
        shown = f"[{', '.join(self.labels)}] {desc}" if self.labels else desc
        return stages.bar(items, shown, total, initial=initial, stream=self.terminal, leave=items is None)

    def load(self, artefact: str) -> None:
        """Put a kept checkpoint's featurizer and downstream in place; RunFailed if it cannot be read."""
        try:
            self.components.load_trained_state(read_tensors(self.folder / artefact))
        except (RunFailed, FileNotFoundError) as error:
            raise RunFailed(f"{error}; train again with --rerun always") from error

    def evaluate(self, split: str, step: int, into: Path | None = None) -> Evaluation:
        """s3prl's evaluation of `split` with the current weights, its files written to `into` (None: folder).

        As in s3prl, the random generators are seeded with the run's seed first and stay so afterwards.
        RunFailed if a batch cannot be read, an utterance was not scored, our number and s3prl's disagree, or
        a feature or score is not a finite number.
        """
        folder = self.folder if into is None else into
        folder.mkdir(parents=True, exist_ok=True)
        downstream, training = self.components.downstream, self.components.downstream.training
        before, downstream.expdir = downstream.expdir, str(folder)
        seed_everything(self.plan.seed)
        self.components.eval()
        try:
            with self.noisy(split):
                scalars = self._evaluate(split, step)
        finally:
            downstream.expdir = before
        if training:
            self.components.train()
        evaluation = Evaluation(split, step, scalars, self.plan.task.score(folder, split, scalars))
        self._check(evaluation)
        return evaluation

    @contextlib.contextmanager
    def noisy(self, split: str) -> Iterator[None]:
        """While features of `split` are computed: with noise, if that is tested and the plan asks for it."""
        self.components.mixer = self.mixer if split in self.plan.task.test_splits else None
        try:
            yield
        finally:
            self.components.mixer = None

    def _evaluate(self, split: str, step: int) -> dict[str, float]:
        """Have s3prl's expert predict and log; the scalars that it logs."""
        components, downstream = self.components, self.components.downstream
        # Means are of each utterance alone: how many are classified at a time changes no prediction.
        order = batches.order_of_split(components.loader(split), split, TOGETHER if components.pooled else 1)
        total = len(order.batches)
        if total == 0:
            raise UsageError(f"split {split} has no batch to evaluate; see `{PROGRAM} check`")
        file = self.folder / PARTIAL_EVALUATION.format(split=split)
        partial = PartialEvaluation(file, total, functools.partial(self._about, split, total))
        done, records, states = partial.read()
        if states is not None:
            order = replace(order, skip=done, after=states)
            self.journal.event("evaluation_resumed", step, split=split, batches=done, of=total)
        read = batches.readable(
            batches.read(order, self.reading, components.items(split)), split, lambda: step
        )
        shown = self.bar(read, desc=self.name(split), total=total, initial=done)
        with torch.no_grad(), finite.watched(downstream, split, step) as watch:
            for number, (wavs, *others) in enumerate(shown, start=done):
                watch.names = batches.utterance_names(others)
                features = components.features(wavs)
                watch.features(features)
                downstream(split, features, *others, records=records, batch_id=number)
                watch.records(records)
                watch.finish()
                partial.keep(number + 1, records)
            return components.log_records(split, records, step, list(range(total)), total)

    def _about(self, split: str, batches: int) -> dict[str, Any]:
        """All that decides what s3prl's expert records of a split, besides the run's plan."""
        trained = (self.components.featurizer, self.components.downstream)
        return {
            "split": split,
            "batches": batches,
            "upstream": self.components.upstream_sha256,
            "trained": [weights_sha256(module) for module in trained],
            "device": self.components.device.type,
        }

    def _check(self, evaluation: Evaluation) -> None:
        """Every utterance counted, and our number the one that s3prl found: else RunFailed."""
        task, split = self.plan.task, evaluation.split
        listed = self.data.utterances[split]
        for score in evaluation.scores:
            counted = score.counts.get("utterances", listed)
            if counted != listed:
                raise RunFailed(
                    f"{counted} of {listed} utterances of {split} were evaluated; "
                    f"s3prl skips some of the corpus, look at it with `{PROGRAM} check {task.name}`"
                )
            metric = task.metric(score.metric)
            if metric.scalar is None:
                continue
            name = metric.scalar.format(split=split, fold=self.plan.fold)
            theirs = metric.factor * evaluation.scalars.get(name, math.nan)
            if not math.isclose(score.value, theirs, rel_tol=ROUNDING, abs_tol=ROUNDING):
                raise RunFailed(
                    f"our {score.metric} of {split} is {score.value!r}, s3prl's {name} is {theirs!r}: one of "
                    "the two scorers is wrong, so no result is written; report this with the ark files"
                )

    def name(self, split: str) -> str:
        """What one of s3prl's splits is called in all that is written: by what was read."""
        return official.name(self.plan.task, self.config, split)

    def keep_items(self, split: str, scores: Sequence[Score]) -> None:
        """Have the test items of `scores` written to `items.csv`."""
        self._items += [(split, score) for score in scores if score.items]

    def write_items(self) -> None:
        """Write `items.csv`, if there are any items, and label its lines and those of `trials.csv`.

        Columns: metric, split, item, group, numerator, denominator; where the data are not the official ones
        also labels.
        """
        if self._items:
            rows: list[Sequence[object]] = [("metric", "split", "item", "group", "numerator", "denominator")]
            for split, score in self._items:
                for one in score.items:
                    group = self.data.groups.get(one.name, one.group)
                    values = (one.name, group, one.numerator, one.denominator)
                    rows.append((score.metric, self.name(split), *values))
            atomic_write_csv(self.folder / ITEMS, rows)
            self.artefacts.append(ITEMS)
        noise = None if self.plan.noise is None else self.plan.noise.label
        about = [label for label in self.labels if label in (PARTIAL, official.OTHER_DATA, noise)]
        for path in (self.folder / name for name in (ITEMS, TRIALS) if about):
            if path.is_file():
                with path.open(newline="", encoding="utf-8") as file:
                    header, *lines = csv.reader(file)
                atomic_write_csv(path, [[*header, "labels"], *([*line, " ".join(about)] for line in lines)])

    def say(self, message: str) -> None:
        """A line for s3prl's log and the journal."""
        print(message, file=sys.stderr)
        self.journal.event("test", self.steps, message=message)
