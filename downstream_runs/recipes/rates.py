"""Learning rates that others found best for an upstream on a task, or tried: `published_rates.csv`.

SUPERB tunes the rate of every pair of upstream and task, and prints none. Only what has a source is here.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from upstream_arm import names

FILE = Path(__file__).with_name("published_rates.csv")


@dataclass(frozen=True)
class PublishedRate:
    """One rate. upstreams: names without `_local` and the like; note: what it gave, and what others gave."""

    upstreams: tuple[str, ...]
    task: str
    lr: float
    note: str
    source: str

    def line(self) -> str:
        """As it is printed."""
        note = f"{self.note}; " if self.note else ""
        return f"{', '.join(self.upstreams)}: {self.lr:g} ({note}{self.source})"


@functools.cache
def _all() -> tuple[PublishedRate, ...]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            PublishedRate(
                tuple(row["upstreams"].split()), row["task"], float(row["lr"]), row["note"], row["source"]
            )
            for row in csv.DictReader(file)
        )


def of_task(task: str) -> tuple[PublishedRate, ...]:
    """The rates of a task."""
    return tuple(rate for rate in _all() if rate.task == task)


def of_upstream(upstream: str, task: str) -> tuple[PublishedRate, ...]:
    """The rates of an upstream on a task; a file under a name of s3prl's may hold any model."""
    name = names.canonical(upstream) if upstream in names.names() else upstream
    return tuple(rate for rate in of_task(task) if name in rate.upstreams)


def lines(task: str) -> Iterator[str]:
    """What is known for a task, for the terminal."""
    known = of_task(task)
    if known:
        yield f"learning rates that are published for {task}:"
        yield from (f"  {rate.line()}" for rate in known)


def doubt(upstream: str, task: str, lr: float) -> str | None:
    """Why a recipe's own rate is a poor choice for an upstream, in a sentence; None where nothing says so.

    It is one where others are published for the upstream, and where every other upstream has a higher one, as
    with SID's 1e-4.
    """
    own = of_upstream(upstream, task)
    if own:
        if any(rate.lr == lr for rate in own):
            return None
        return f"the recipe of {task} has the learning rate {lr:g}; published is for {own[0].line()}"
    rates = list(dict.fromkeys(sorted(rate.lr for rate in of_task(task))))
    if len(rates) < 2 or lr >= rates[0]:
        return None
    tried = ",".join(f"{rate:g}" for rate in rates)
    return (
        f"the recipe of {task} has the learning rate {lr:g}, and those that are published, all of other "
        f"upstreams, are {rates[0]:g} to {rates[-1]:g}: --lr {tried} tries them"
    )
