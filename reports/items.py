"""The test items and trials that a metric of a run was computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

#: What a group is called, by task; a task that is not here has speakers.
GROUPS = {"asv": "enrolled speaker", "qbe": "query"}
#: What a single item is called, by task; for every other an utterance.
ITEM_NAMES = {"sd": "recording", "asv": "trial", "qbe": "trial"}

#: Column -> `[item]`. Of test items `item`, `group`, and what each adds to the metric, `numerator` and
#: `denominator`; of trials `item`, `group`, `label` (1 for a target), `score` and `count`, of how many trials
#: of this group, label and score the row stands for.
Stratum: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class ScoredItems:
    """The test items that a metric of a run was computed from.

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
        groups = np.concatenate([stratum["group"] for stratum in self.strata])
        if len(set(groups)) == len(groups):
            return ITEM_NAMES.get(self.task, "utterance")
        return GROUPS.get(self.task, "speaker")


def same_items(first: ScoredItems, second: ScoredItems) -> bool:
    """Were both computed from the same test items, in the same groups and of the same labels?"""
    return _signature(first) == _signature(second)


def _signature(scored: ScoredItems) -> list[dict[Any, Any]]:
    names = ("label", "count") if scored.of_trials else ()
    return [
        dict(zip(one["item"], zip(one["group"], *(one[name] for name in names), strict=True), strict=True))
        for one in scored.strata
    ]
