"""Test items and trials written out in tests, as `reports.items` holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from reports.items import ScoredItems, Stratum


class Item(NamedTuple):
    name: str
    group: str
    numerator: float
    denominator: float


class Trial(NamedTuple):
    name: str
    group: str
    label: int
    score: float
    number: int = 1


def stratum(rows: Sequence[Item] | Sequence[Trial]) -> Stratum:
    """The columns of these items or trials."""
    trials = isinstance(rows[0], Trial)
    kinds: list[tuple[str, Any]] = [("item", object), ("group", object)]
    kinds += (
        [("label", int), ("score", float), ("count", int)]
        if trials
        else [("numerator", float), ("denominator", float)]
    )
    columns = {
        name: np.array(cells, kind)
        for (name, kind), cells in zip(kinds, zip(*rows, strict=True), strict=True)
    }
    names, places = np.unique(columns["group"], return_inverse=True)
    return {**columns, "names": names, "group": places}


def scored(
    key: str, task: str, items: Sequence[Sequence[Item]] = (), trials: Sequence[Trial] = ()
) -> ScoredItems:
    """The items of each stratum, or the trials."""
    return ScoredItems(key, task, tuple(stratum(rows) for rows in (items or (trials,))))


def trials_of(found: ScoredItems) -> tuple[Trial, ...]:
    """The trials of EER or MTWV, as they are written out."""
    [columns] = found.strata
    return tuple(Trial(*row) for row in zip(*columns_of(columns), strict=True))


def columns_of(columns: Stratum) -> list[list[Any]]:
    groups = columns["names"][columns["group"]].tolist()
    return [
        columns["item"].tolist(),
        groups,
        *(columns[name].tolist() for name in ("label", "score", "count")),
    ]
