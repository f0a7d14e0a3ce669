"""What a task's test works with: the run at the end of its training."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from downstream_runs.core.records import Journal
from downstream_runs.core.results import PARTIAL
from downstream_runs.core.run_folder import ITEMS, TRIALS
from downstream_runs.core.task import PreparedData, Score
from downstream_runs.corpora.markers import OTHER_DATA
from downstream_runs.engine.batches import Reading
from downstream_runs.engine.evaluate import Bar, Evaluation, evaluate
from downstream_runs.engine.parts import Parts
from downstream_runs.engine.plan import RunPlan
from downstream_runs.engine.state import read_tensors
from downstream_runs.tasks import official
from upstream_arm.common.errors import RunFailed
from upstream_arm.common.files import atomic_write_text


@dataclass
class Bench:
    """A run whose training is done, or that trains nothing, ready to be tested.

    config: the recipe with all overrides, without any data path.
    labels: what keeps its numbers from being compared with published ones.
    folder: the run directory; what a test finishes goes there, so that a killed run goes on from it.
    steps: optimizer steps done. skipped: those of them whose gradient was NaN. best: step, value and scores
    of the selected checkpoint, where the task has a rule. deviations: to be added to by the test. artefacts:
    files of `folder`, beside the task's own, that the numbers need.
    """

    plan: RunPlan
    config: Mapping[str, Any]
    data: PreparedData
    folder: Path
    parts: Parts
    bar: Bar
    journal: Journal
    reading: Reading
    labels: tuple[str, ...] = ()
    steps: int = 0
    skipped: int = 0
    best: Mapping[str, Any] | None = None
    deviations: list[str] = field(default_factory=list)
    artefacts: list[str] = field(default_factory=list)
    _items: list[tuple[str, Score]] = field(default_factory=list)

    def load(self, artefact: str) -> None:
        """Put a kept checkpoint's featurizer and downstream in place; RunFailed if it cannot be read."""
        try:
            self.parts.load_trained_state(read_tensors(self.folder / artefact))
        except (RunFailed, FileNotFoundError) as error:
            raise RunFailed(f"{error}; train again with --rerun always") from error

    def evaluate(self, split: str, step: int, into: Path | None = None) -> Evaluation:
        """s3prl's evaluation of `split`, its files written to `into` (the run directory if None)."""
        folder = self.folder if into is None else into
        folder.mkdir(parents=True, exist_ok=True)
        downstream, task = self.parts.downstream, self.plan.task
        before, downstream.expdir = downstream.expdir, str(folder)
        try:
            return evaluate(
                self.parts, task, self.data, split, step, folder, self.bar, self.reading, self.plan.fold
            )
        finally:
            downstream.expdir = before

    def name(self, split: str) -> str:
        """What one of s3prl's splits is called in all that is written: by what was read."""
        return official.read(self.plan.task, self.config).get(split, split)

    def keep_items(self, split: str, scores: Sequence[Score]) -> None:
        """Have the test items of `scores` written to `items.csv`."""
        self._items += [(split, score) for score in scores if score.items]

    def write_items(self) -> None:
        """Write `items.csv`, if there are any: metric, split, item, group, numerator, denominator."""
        if not self._items:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["metric", "split", "item", "group", "numerator", "denominator"])
        for split, score in self._items:
            for item in score.items:
                group = self.data.groups.get(item.name, item.group)
                writer.writerow(
                    [score.metric, self.name(split), item.name, group, item.numerator, item.denominator]
                )
        atomic_write_text(self.folder / ITEMS, text.getvalue())
        self.artefacts.append(ITEMS)

    def label_items(self) -> None:
        """Add the labels to each line of the files of test items where the data are not the official ones."""
        about = [label for label in self.labels if label in (PARTIAL, OTHER_DATA)]
        for path in (self.folder / name for name in (ITEMS, TRIALS) if about):
            if path.is_file():
                with path.open(newline="", encoding="utf-8") as file:
                    header, *rows = csv.reader(file)
                text = io.StringIO()
                writer = csv.writer(text, lineterminator="\n")
                writer.writerow([*header, "labels"])
                writer.writerows([*row, " ".join(about)] for row in rows)
                atomic_write_text(path, text.getvalue())

    def say(self, message: str) -> None:
        """A line for s3prl's log and the journal."""
        print(message, file=sys.stderr)
        self.journal.event("test", self.steps, message=message)
