"""The test items and trials that a metric of a run was computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from reports.columns import BY_KEY

#: What a group is called, by the task of the column; a task that is not here has speakers.
GROUPS = {"asv": "enrolled speaker", "qbe": "query"}
#: What a single item is called, by task; for every other an utterance.
ITEM_NAMES = {"sd": "recording", "asv": "trial", "qbe": "trial"}

#: `names` is `[group]`, sorted, every other column `[item]`. `item`: 64 bits of a hash of its name, where
#: these were asked for. `group`: a place in `names`. Of test items what each adds to the metric, `numerator`
#: and `denominator`; of trials `label` (1 for a target), `score` and `count`, of how many trials of this
#: group, label and score the row stands for.
Stratum: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ScoredItems:
    """The test items that a metric of a run was computed from; equal to nothing but itself.

    key: the column.
    task: its task.
    strata: one without folds; trials are a single one.
    """

    key: str
    task: str
    strata: tuple[Stratum, ...]

    @property
    def of_trials(self) -> bool:
        """Whether the metric is computed from trials: EER and MTWV are no quotients."""
        return "score" in self.strata[0]

    @property
    def unit(self) -> str:
        """What is resampled: "speaker", "query", or "utterance" where no group has two items."""
        groups = set().union(*(stratum["names"] for stratum in self.strata))
        if len(groups) == sum(len(stratum["group"]) for stratum in self.strata):
            return ITEM_NAMES.get(BY_KEY[self.key].task, "utterance")
        return GROUPS.get(BY_KEY[self.key].task, "speaker")


def same_items(first: ScoredItems, second: ScoredItems) -> bool:
    """Were both computed from the same test items, in the same groups and of the same labels?"""
    return len(first.strata) == len(second.strata) and all(map(_alike, first.strata, second.strata))


def _alike(one: Stratum, other: Stratum) -> bool:
    names = [name for name in ("item", "group", "label", "count") if name in one]
    columns = [[stratum[name] for name in names] for stratum in (one, other)]
    if not np.array_equal(one["item"], other["item"]):
        orders = [np.argsort(stratum["item"], kind="stable") for stratum in (one, other)]
        columns = [[cells[order] for cells in found] for found, order in zip(columns, orders, strict=True)]
    return np.array_equal(one["names"], other["names"]) and all(map(np.array_equal, *columns))
