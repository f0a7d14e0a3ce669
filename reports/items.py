"""The test items and trials that a metric of a run was computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

#: What a group is called, by task; a task that is not here has speakers.
GROUPS = {"asv": "enrolled speaker", "qbe": "query"}
#: What a single item is called, by task; for every other an utterance.
ITEM_NAMES = {"sd": "recording", "asv": "trial", "qbe": "trial"}


class Item(NamedTuple):  # of which there are ten thousands: three times as quick to make as a dataclass
    """A test item's share of a metric."""

    name: str
    group: str
    numerator: float
    denominator: float


class Trial(NamedTuple):
    """A scored pair; label 1 for a target. number: of trials of this group, label and score that it is."""

    name: str
    group: str
    label: int
    score: float
    number: int = 1


@dataclass(frozen=True)
class ScoredItems:
    """The test items that a metric of a run was computed from.

    key: the column.
    task: its task.
    items: one tuple for each stratum (one without folds); empty for a metric of trials.
    trials: the trials, for EER and MTWV only.
    """

    key: str
    task: str
    items: tuple[tuple[Item, ...], ...] = ()
    trials: tuple[Trial, ...] = ()

    @property
    def unit(self) -> str:
        """What is resampled: "speaker", "query", or "utterance" where no group has two items."""
        groups = [item.group for stratum in self.items for item in stratum]
        groups += [trial.group for trial in self.trials]
        if len(set(groups)) == len(groups):
            return ITEM_NAMES.get(self.task, "utterance")
        return GROUPS.get(self.task, "speaker")


def same_items(first: ScoredItems, second: ScoredItems) -> bool:
    """Were both computed from the same test items, in the same groups and of the same labels?"""
    return _signature(first) == _signature(second)


def _signature(scored: ScoredItems) -> tuple[Mapping[str, object], ...]:
    strata = ({item.name: item.group for item in stratum} for stratum in scored.items)
    return (*strata, {trial.name: (trial.group, trial.label, trial.number) for trial in scored.trials})
